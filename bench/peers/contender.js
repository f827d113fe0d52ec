/*
 * What the contenders have in common: `node <contender>.js <url> <count>`. It prints `ready`, reads the instant (Unix ms) as a
 * line on stdin, enters its jobs for that instant, prints `entered`, works, and prints one line of JSON when every job has
 * been received.
 */
export const url = process.argv[2];
export const count = Number(process.argv[3]);

/** Jobs `from` to `from + some`, with what a trigger event tells. */
export function jobs(from, some) {
  return Array.from({ length: Math.min(some, count - from) }, (_, index) => ({
    id: `run-${from + index}`,
    schedule_name: `schedule ${from + index}`,
    action: "scout.trigger",
    action_version: 1,
    payload: { source: "stratninja", max_strategies: 20 },
  }));
}

/**
 * @param enter enters all jobs for the instant
 * @param work starts working; calls back for every job it is given
 */
export async function announce(enter, work) {
  console.log("ready");
  const at = await new Promise((resolve) => process.stdin.once("data", (line) => resolve(Number(line))));
  const ids = new Set();
  await enter(at);
  await work((id) => {
    ids.add(id);
    if (ids.size !== count) return;
    console.log(JSON.stringify({ last: Date.now() }));
    process.exit(0);
  });
  console.log("entered");
}
