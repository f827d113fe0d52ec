import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_POLICY } from "../../../src/schedule/policy.ts";
import { mayRetry, retryDelay } from "../../../src/schedule/retry.ts";

const backoff = (base: number, multiplier: number, most: number) => ({
  ...DEFAULT_POLICY,
  retry_backoff_seconds: base,
  retry_backoff_multiplier: multiplier,
  retry_backoff_max_seconds: most,
});

describe("retry", () => {
  test("doubles from the base to the cap, shortened by a tenth at most", () => {
    const policy = backoff(30, 2, 3_600);
    for (const [attempt, seconds] of [
      [1, 30],
      [2, 60],
      [3, 120],
      [7, 1_920],
      [8, 3_600],
      [50, 3_600],
    ] as const) {
      const delay = retryDelay(policy, "run", attempt);
      expect(delay).toBeLessThanOrEqual(seconds * 1_000);
      expect(delay).toBeGreaterThanOrEqual(seconds * 900);
    }
  });

  test("is the same for the same run and attempt, and differs between runs", () => {
    const policy = backoff(30, 2, 3_600);
    expect(retryDelay(policy, "a", 1)).toBe(retryDelay(policy, "a", 1));
    const delays = new Set(Array.from({ length: 100 }, (_, index) => retryDelay(policy, `run ${index}`, 1)));
    expect(delays.size).toBeGreaterThan(80);
  });

  test("stays a number within its cap whatever the policy and the attempt", () => {
    const seconds = fc.integer({ min: 0, max: 2_147_483_647 });
    const multiplier = fc.double({ min: 1, max: 100, noNaN: true });
    fc.assert(
      fc.property(seconds, multiplier, seconds, fc.integer({ min: 1, max: 1_000 }), (base, factor, most, attempt) => {
        const delay = retryDelay(backoff(base, factor, most), "run", attempt);
        return Number.isSafeInteger(delay) && delay >= 0 && delay <= most * 1_000;
      }),
    );
    expect(retryDelay(backoff(0, 100, 3_600), "run", 1_000)).toBe(0);
    expect(retryDelay(backoff(5, 1, 3_600), "run", 1_000)).toBeGreaterThan(4_000);
  });

  test("attempts are counted from 1", () => {
    const policy = { ...DEFAULT_POLICY, max_attempts: 3 };
    expect([1, 2, 3, 4].map((attempt) => mayRetry(policy, attempt))).toEqual([true, true, false, false]);
  });
});
