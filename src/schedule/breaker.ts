/**
 * The circuit breaker that a run belongs to, or null: the action with its target, or with what a JSON pointer finds in the
 * payload, a URL standing for its host (one broken page says nothing about a site, a broken host does).
 *
 * @param key `"target"` or a JSON pointer (RFC 6901), from the action's contract
 */
export function breakerKey(
  action: string,
  key: string | undefined,
  payload: unknown,
  target: string | null,
): string | null {
  if (key === undefined) return null;
  if (key === "target") return target === null ? null : `${action}:${target}`;
  const value = pointedAt(payload, key);
  if (typeof value !== "string" && typeof value !== "number") return null;
  return `${action}:${hostOf(String(value))}`;
}

function pointedAt(value: unknown, pointer: string): unknown {
  let current = value;
  for (const part of pointer.slice(1).split("/")) {
    if (typeof current !== "object" || current === null) return undefined;
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    current = Object.hasOwn(current, name) ? (current as Record<string, unknown>)[name] : undefined;
  }
  return current;
}

function hostOf(text: string): string {
  return URL.canParse(text) ? new URL(text).host || text : text;
}
