import { setTimeout as sleep } from "node:timers/promises";

export interface WaitOptions {
  readonly timeoutMs?: number;
  /** Completes "timed out waiting for …"; a function may say what was seen last. */
  readonly describe?: string | (() => string);
  readonly intervalMs?: number;
}

/**
 * Asks until the answer is neither false, null nor undefined, and gives it back. A condition that throws has not come
 * true yet; the last error is the cause of the time-out.
 */
export async function waitFor<T>(
  condition: () => T | false | null | undefined | Promise<T | false | null | undefined>,
  options: WaitOptions = {},
): Promise<T> {
  const { timeoutMs = 10_000, describe = "a condition", intervalMs = 10 } = options;
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const answer = await condition();
      if (answer !== false && answer !== null && answer !== undefined) return answer;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) break;
    await sleep(intervalMs);
  }
  const what = typeof describe === "string" ? describe : describe();
  throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`, { cause });
}
