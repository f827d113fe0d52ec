const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/** How long to wait before trying again after `failures` failures in a row (from 0): 100 ms, doubling, 5 s at most, ±20 %. */
export function backoff(failures: number): number {
  // Spread, or every instance comes back to a restarted broker in the same millisecond.
  const spread = 0.8 + 0.4 * Math.random();
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 20)) * spread;
}
