/*
 * Which outside signals fire a schedule. Webhooks are paths, channels are AMQP routing keys; each has the wildcards its
 * users know.
 */

/** A pattern of path segments, where `*` stands for one segment and `**` for any number of them. */
export function matchesPath(pattern: string, path: string): boolean {
  return matches(segments(pattern), segments(path), "**");
}

/** A pattern of words between dots, where `*` stands for one word and `#` for any number of them. */
export function matchesChannel(pattern: string, channel: string): boolean {
  return matches(pattern.split("."), channel.split("."), "#");
}

function segments(path: string): string[] {
  return path.replace(/^\/+|\/+$/g, "").split("/");
}

/** `many` may stand anywhere. The work is bounded by the product of the lengths, whatever the pattern. */
function matches(pattern: readonly string[], words: readonly string[], many: string): boolean {
  // reachable[i]: the pattern read so far can have used up the first i words.
  let reachable = words.map(() => false);
  reachable.unshift(true);
  for (const part of pattern) {
    const next = reachable.map(() => false);
    for (let used = 0; used < reachable.length; used++) {
      if (part === many) next[used] = reachable[used]! || (used > 0 && next[used - 1]!);
      else if (used > 0) next[used] = reachable[used - 1]! && (part === "*" || part === words[used - 1]);
    }
    reachable = next;
  }
  return reachable.at(-1)!;
}
