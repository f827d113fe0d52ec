import type { Instant } from "../schedule/instant.ts";

/**
 * The only place that reads the time or sets a timer. What is *due* is judged by Postgres's clock, not by this one:
 * this clock stamps messages, measures durations and sleeps.
 */
export interface Clock {
  /** Wall clock, Unix ms. For stamps only; never compared with an instant from the database. */
  now(): Instant;
  /** Milliseconds since an arbitrary point, never stepping back. For durations. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back after `ms`; the returned function cancels. */
  after(ms: number, callback: () => void): () => void;
}

// setTimeout wraps around to 1 ms above this.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER_MS));
      signal?.addEventListener("abort", done, { once: true });
    });
  },
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
