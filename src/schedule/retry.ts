import type { Policy } from "./policy.ts";
import { jitter } from "./run-id.ts";

type Backoff = Pick<
  Policy,
  "retry_backoff_seconds" | "retry_backoff_multiplier" | "retry_backoff_max_seconds" | "max_attempts"
>;

/**
 * Milliseconds to wait before the attempt after `attempt` (1 is the first): base × multiplier^(attempt - 1), capped, then
 * shortened by up to a tenth so that runs which failed together do not come back together. The same run and attempt
 * always wait equally long.
 */
export function retryDelay(policy: Backoff, runId: string, attempt: number): number {
  // The power overflows to Infinity after some 150 attempts; 0 times that would be NaN.
  const factor = Math.min(policy.retry_backoff_multiplier ** (attempt - 1), Number.MAX_SAFE_INTEGER);
  const seconds = Math.min(policy.retry_backoff_seconds * factor, policy.retry_backoff_max_seconds);
  const ms = Math.round(seconds * 1_000);
  return ms - jitter(runId, attempt, Math.floor(ms / 10) + 1);
}

export function mayRetry(policy: Backoff, attempt: number): boolean {
  return attempt < policy.max_attempts;
}
