import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  countOccurrences,
  nextOccurrence,
  previousOccurrence,
  type Recurrence,
} from "../../../src/schedule/recurrence.ts";
import { compileRecurrence } from "../../../src/schedule/timing.ts";
import {
  at,
  backwards,
  calendar,
  cron,
  forwards,
  interval,
  iso,
  once,
  processorMs,
  timing,
  upcoming,
} from "./timings.ts";

const DAY = 86_400_000;
const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe",
  "Africa/Casablanca",
  "Antarctica/Troll",
];
const instant = fc.integer({ min: at("2000-01-01T00:00:00Z"), max: at("2050-01-01T00:00:00Z") });
const bounds = fc.record({
  starts_at: fc.option(instant, { nil: null }),
  ends_at: fc.option(fc.integer({ min: at("2050-01-01T00:00:00Z"), max: at("2060-01-01T00:00:00Z") }), { nil: null }),
});

const recurrence: fc.Arbitrary<Recurrence> = fc.oneof(
  fc
    .record({
      cron_expression: fc.constantFrom(
        "* * * * *",
        "*/7 * * * *",
        "*/20 * * * * *",
        "30 2 * * *",
        "15,45 1-3 * * *",
        "0 */2 * * *",
        "0 0 * * MON-FRI",
        "0 0 31 * *",
        "0 0 13 * 5",
        "0 0 29 2 *",
        "0 12 L * 5L",
        "5 0 * 8 1#2",
      ),
      timezone: fc.constantFrom(...ZONES),
      dst_gap: fc.constantFrom("next_valid", "skip"),
      dst_fold: fc.constantFrom(null, "first", "second", "both"),
      bounds,
    })
    .map(({ bounds: limits, ...columns }) => compileRecurrence(timing("cron", { ...columns, ...limits }))),
  fc
    .record({
      interval_seconds: fc.integer({ min: 1, max: 10_000_000 }),
      interval_anchor: fc.option(instant, { nil: null }),
      bounds,
    })
    .map(({ bounds: limits, ...columns }) => compileRecurrence(timing("interval", { ...columns, ...limits }))),
  fc
    .record({
      times: fc.constantFrom(["02:30:00"], ["00:00:00", "23:59:59"], ["01:30", "02:15:30", "12:00"]),
      days: fc.constantFrom({}, { days_of_week: ["sunday"] }, { days_of_month: [1, 15, -1] }, { days_of_month: [31] }),
      window: fc.constantFrom({}, { start_day: "2010-03-01", end_day: "2040-03-28" }),
      timezone: fc.constantFrom(...ZONES),
      dst_fold: fc.constantFrom(null, "first", "second", "both"),
      bounds,
    })
    .map(({ times, days, window, bounds: limits, ...columns }) =>
      compileRecurrence(timing("calendar", { calendar: { times, ...days, ...window }, ...columns, ...limits })),
    ),
  instant.map((run_at) => compileRecurrence(timing("once", { run_at }))),
);

describe("for every recurrence", () => {
  test("next lies strictly after, and previous leads back: they are inverse", () => {
    fc.assert(
      fc.property(recurrence, instant, (r, after) => {
        const next = nextOccurrence(r, after);
        if (next === null) return;
        expect(next).toBeGreaterThan(after);
        expect(next).toBeGreaterThanOrEqual(r.starts_at);
        expect(next).toBeLessThanOrEqual(r.ends_at);
        // Nothing lies between `after` and `next`, from whichever side one looks.
        const before = previousOccurrence(r, next);
        if (before !== null) {
          expect(before).toBeLessThanOrEqual(after);
          expect(nextOccurrence(r, before)).toBe(next);
        }
        expect(previousOccurrence(r, next + 1)).toBe(next);
        expect(nextOccurrence(r, next - 1)).toBe(next);
      }),
      { numRuns: 2_000 },
    );
  });

  test("a later question never has an earlier answer", () => {
    fc.assert(
      fc.property(recurrence, instant, fc.integer({ min: 0, max: 400 * DAY }), (r, after, later) => {
        const first = nextOccurrence(r, after) ?? Number.POSITIVE_INFINITY;
        const second = nextOccurrence(r, after + later) ?? Number.POSITIVE_INFINITY;
        expect(second).toBeGreaterThanOrEqual(first);
        if (first > after + later) expect(second).toBe(first);
      }),
      { numRuns: 2_000 },
    );
  });

  test("forwards, backwards and counting agree", () => {
    fc.assert(
      fc.property(
        recurrence,
        instant,
        fc.integer({ min: 1, max: 12 * 3_600_000 }),
        fc.integer({ min: 1, max: 40 }),
        (r, from, span, times) => {
          // Long spans for rare occurrences, short ones for those of every second.
          const next = nextOccurrence(r, from);
          const sparse = next === null || next - from > 3_600_000;
          const until = from + (sparse ? span * times * 20 : Math.ceil(span / 4));
          const found = forwards(r, from, until);
          expect(backwards(r, from, until)).toEqual(found);
          expect(countOccurrences(r, from - 1, until - 1, 10_000)).toBe(Math.min(10_000, found.length));
          expect(countOccurrences(r, from - 1, until - 1, times)).toBe(Math.min(times, found.length));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("bounds are inclusive on both sides", () => {
    fc.assert(
      fc.property(instant, fc.constantFrom(...ZONES), (start, timezone) => {
        const free = cron("*/7 3,14 * * *", { timezone });
        const first = nextOccurrence(free, start) as number;
        const second = nextOccurrence(free, first) as number;
        const bound = cron("*/7 3,14 * * *", { timezone, starts_at: first, ends_at: second });
        expect(forwards(bound, 0, at("2060-01-01T00:00:00Z"))).toEqual([first, second]);
        expect(backwards(bound, 0, at("2060-01-01T00:00:00Z"))).toEqual([first, second]);
        const inner = cron("*/7 3,14 * * *", { timezone, starts_at: first + 1, ends_at: second - 1 });
        expect(nextOccurrence(inner, 0)).toBeNull();
        expect(previousOccurrence(inner, Number.POSITIVE_INFINITY)).toBeNull();
      }),
      { numRuns: 200 },
    );
  });
});

describe("instants that are not on a second", () => {
  test("milliseconds before and after an occurrence", () => {
    const minutely = cron("* * * * *");
    const noon = at("2026-11-21T12:00:00Z");
    expect(nextOccurrence(minutely, noon - 1)).toBe(noon);
    expect(nextOccurrence(minutely, noon)).toBe(noon + 60_000);
    expect(nextOccurrence(minutely, noon + 1)).toBe(noon + 60_000);
    expect(previousOccurrence(minutely, noon + 1)).toBe(noon);
    expect(previousOccurrence(minutely, noon)).toBe(noon - 60_000);
    expect(previousOccurrence(minutely, noon - 1)).toBe(noon - 60_000);
  });

  test("starts_at between two seconds", () => {
    const start = at("2026-11-21T12:00:00.500Z");
    expect(iso(nextOccurrence(cron("* * * * * *", { starts_at: start }), 0))).toBe("2026-11-21T12:00:01Z");
    expect(iso(previousOccurrence(cron("* * * * * *", { ends_at: start }), start + DAY))).toBe("2026-11-21T12:00:00Z");
  });

  test("NaN is refused instead of passing for the end of a schedule", () => {
    expect(() => nextOccurrence(cron("* * * * *"), Number.NaN)).toThrow(RangeError);
    expect(() => previousOccurrence(interval(60), Number.NaN)).toThrow(RangeError);
  });
});

describe("interval", () => {
  test("creation does not fire; the first occurrence is one interval later", () => {
    expect(upcoming(interval(90), "2025-01-01T00:00:00Z", 3)).toEqual([
      "2026-01-01T00:01:30Z",
      "2026-01-01T00:03:00Z",
      "2026-01-01T00:04:30Z",
    ]);
  });

  test("an explicit anchor fires, and so does starts_at", () => {
    const anchor = at("2026-03-01T10:00:00.250Z");
    expect(upcoming(interval(3600, { interval_anchor: anchor }), "2020-01-01T00:00:00Z", 2)).toEqual([
      "2026-03-01T10:00:00.250Z",
      "2026-03-01T11:00:00.250Z",
    ]);
    expect(upcoming(interval(3600, { starts_at: anchor }), "2020-01-01T00:00:00Z", 1)).toEqual([
      "2026-03-01T10:00:00.250Z",
    ]);
  });

  test("with an anchor and starts_at, the anchor sets the grid and starts_at the beginning", () => {
    const columns = { interval_anchor: at("2026-01-01T00:00:00Z"), starts_at: at("2026-01-01T00:25:00Z") };
    expect(upcoming(interval(600, columns), "2020-01-01T00:00:00Z", 2)).toEqual([
      "2026-01-01T00:30:00Z",
      "2026-01-01T00:40:00Z",
    ]);
  });

  test("is free of drift after a million intervals, and blind to clock changes", () => {
    const anchor = at("2000-01-01T00:00:00Z");
    const recurrence = interval(7, { interval_anchor: anchor, timezone: "Europe/Berlin" });
    expect(nextOccurrence(recurrence, anchor + 7_000_000_000 - 1)).toBe(anchor + 7_000_000_000);
    expect(nextOccurrence(recurrence, anchor + 7_000_000_000 + 1)).toBe(anchor + 7_000_007_000);
  });

  test("ends", () => {
    const recurrence = interval(60, {
      interval_anchor: at("2026-01-01T00:00:00Z"),
      ends_at: at("2026-01-01T00:02:00Z"),
    });
    expect(upcoming(recurrence, "2020-01-01T00:00:00Z", 9)).toHaveLength(3);
    expect(previousOccurrence(recurrence, at("2026-01-01T00:00:00Z"))).toBeNull();
  });
});

describe("once, event and manual", () => {
  test("once is due at its instant and never again", () => {
    const recurrence = once("2026-11-21T12:00:00.123Z");
    expect(upcoming(recurrence, "2020-01-01T00:00:00Z", 9)).toEqual(["2026-11-21T12:00:00.123Z"]);
    expect(iso(previousOccurrence(recurrence, Number.POSITIVE_INFINITY))).toBe("2026-11-21T12:00:00.123Z");
    expect(previousOccurrence(recurrence, at("2026-11-21T12:00:00.123Z"))).toBeNull();
  });

  test.each(["event", "manual"] as const)("%s is never due by time", (kind) => {
    const recurrence = compileRecurrence(timing(kind));
    expect(nextOccurrence(recurrence, 0)).toBeNull();
    expect(previousOccurrence(recurrence, Number.POSITIVE_INFINITY)).toBeNull();
    expect(countOccurrences(recurrence, 0, at("2100-01-01T00:00:00Z"), 10)).toBe(0);
  });
});

describe("bounded", () => {
  test("counting saturates: 70 years of seconds cost no more than a day of them", () => {
    const [from, until] = [at("2026-01-01T00:00:00Z"), at("2096-01-01T00:00:00Z")];
    const took = processorMs(() => {
      for (const r of [cron("* * * * * *", { timezone: "Europe/Berlin" }), interval(1), cron("0 0 29 2 *")]) {
        for (let i = 0; i < 100; i++) countOccurrences(r, from, until, 10_000);
      }
    });
    expect(took).toBeLessThan(1_000);
  });

  test("an end_day in the past ends the search at once", () => {
    const over = calendar({ times: ["00:00:00"], end_day: "2020-01-01" }, { timezone: "Europe/Berlin" });
    expect(nextOccurrence(over, at("2026-01-01T00:00:00Z"))).toBeNull();
    const ahead = calendar({ times: ["00:00:00"], start_day: "2030-01-01" }, { timezone: "Europe/Berlin" });
    expect(previousOccurrence(ahead, at("2026-01-01T00:00:00Z"))).toBeNull();
    expect(iso(nextOccurrence(ahead, at("2026-01-01T00:00:00Z")))).toBe("2029-12-31T23:00:00Z");
  });
});
