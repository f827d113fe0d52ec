import { describe, expect, test } from "vitest";
import { type CatchUp, type DueDecision, type DueInput, decideDue } from "../../../src/schedule/catch-up.ts";
import type { Instant } from "../../../src/schedule/instant.ts";
import { nextOccurrence, type Recurrence } from "../../../src/schedule/recurrence.ts";
import { compileRecurrence } from "../../../src/schedule/timing.ts";
import { at, calendar, cron, forwards, interval, iso, once, processorMs, timing } from "./timings.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;

describe("an hourly schedule, due at 10:00", () => {
  const hourly = cron("0 * * * *");

  test.each<[string, string, Partial<DueInput>, unknown]>([
    // what happens, now, input, expected
    ["on time", "10:00:00.020", {}, { runs: ["10:00"], missed: null, next: "11:00", last: "10:00" }],
    [
      "on time, skip",
      "10:00:00.020",
      { catchup: "skip" },
      { runs: ["10:00"], missed: null, next: "11:00", last: "10:00" },
    ],
    [
      "on time, all",
      "10:00:00.020",
      { catchup: "all" },
      { runs: ["10:00"], missed: null, next: "11:00", last: "10:00" },
    ],
    ["60 s late, skip", "10:01", { catchup: "skip" }, { runs: ["10:00"], missed: null, next: "11:00", last: "10:00" }],
    [
      "61 s late, skip",
      "10:01:00.001",
      { catchup: "skip" },
      { runs: [], missed: ["10:00", "10:00", 1], next: "11:00", last: "10:00" },
    ],
    [
      "three hours, latest",
      "13:30",
      {},
      { runs: ["13:00"], missed: ["10:00", "12:00", 3], next: "14:00", last: "13:00" },
    ],
    [
      "three hours, skip",
      "13:30",
      { catchup: "skip" },
      { runs: [], missed: ["10:00", "13:00", 4], next: "14:00", last: "13:00" },
    ],
    [
      "three hours to the minute, skip",
      "13:00:30",
      { catchup: "skip" },
      { runs: ["13:00"], missed: ["10:00", "12:00", 3], next: "14:00", last: "13:00" },
    ],
    [
      "three hours, all",
      "13:30",
      { catchup: "all" },
      { runs: ["10:00", "11:00", "12:00", "13:00"], missed: null, next: "14:00", last: "13:00" },
    ],
    [
      "three hours, all, two at a time",
      "13:30",
      { catchup: "all", limit: 2 },
      { runs: ["10:00", "11:00"], missed: null, next: "12:00", last: "11:00" },
    ],
    [
      "all, window of two hours",
      "13:30",
      { catchup: "all", catchup_window_seconds: 7_200 },
      { runs: ["12:00", "13:00"], missed: ["10:00", "11:00", 2], next: "14:00", last: "13:00" },
    ],
    [
      "all, window of exactly 2.5 hours is inclusive",
      "13:30",
      { catchup: "all", catchup_window_seconds: 9_000 },
      { runs: ["11:00", "12:00", "13:00"], missed: ["10:00", "10:00", 1], next: "14:00", last: "13:00" },
    ],
    [
      "all, window that holds none",
      "13:30",
      { catchup: "all", catchup_window_seconds: 1_799 },
      { runs: [], missed: ["10:00", "13:00", 4], next: "14:00", last: "13:00" },
    ],
    [
      "latest, window that holds none",
      "13:30",
      { catchup_window_seconds: 1_799 },
      { runs: [], missed: ["10:00", "13:00", 4], next: "14:00", last: "13:00" },
    ],
    [
      "latest, window to the second",
      "13:30",
      { catchup_window_seconds: 1_800 },
      { runs: ["13:00"], missed: ["10:00", "12:00", 3], next: "14:00", last: "13:00" },
    ],
    [
      "latest, last run of max_runs",
      "13:30",
      { max_runs_left: 1 },
      { runs: ["13:00"], missed: ["10:00", "12:00", 3], next: null, last: "13:00" },
    ],
    [
      "all, two runs left",
      "13:30",
      { catchup: "all", max_runs_left: 2 },
      { runs: ["10:00", "11:00"], missed: null, next: null, last: "11:00" },
    ],
    [
      "all, more runs left than due",
      "11:30",
      { catchup: "all", max_runs_left: 9 },
      { runs: ["10:00", "11:00"], missed: null, next: "12:00", last: "11:00" },
    ],
    [
      "all, limit below the runs left",
      "13:30",
      { catchup: "all", max_runs_left: 3, limit: 2 },
      { runs: ["10:00", "11:00"], missed: null, next: "12:00", last: "11:00" },
    ],
    ["no runs left", "13:30", { max_runs_left: 0 }, { runs: [], missed: null, next: null, last: "10:00" }],
    [
      "missed, with runs left",
      "13:30",
      { catchup: "skip", max_runs_left: 1 },
      { runs: [], missed: ["10:00", "13:00", 4], next: "14:00", last: "13:00" },
    ],
    [
      "edited at 12:30: nothing between due and the edit",
      "13:30",
      { plan_from: day("12:30") },
      { runs: ["13:00"], missed: ["10:00", "10:00", 1], next: "14:00", last: "13:00" },
    ],
    [
      "edited at 12:30, all",
      "13:30",
      { catchup: "all", plan_from: day("12:30") },
      { runs: ["10:00", "13:00"], missed: null, next: "14:00", last: "13:00" },
    ],
    [
      "edited just now",
      "13:30",
      { plan_from: day("13:29") },
      { runs: ["10:00"], missed: null, next: "14:00", last: "10:00" },
    ],
    [
      "an edit that lies ahead",
      "10:00:30",
      { plan_from: day("12:30") },
      { runs: ["10:00"], missed: null, next: "13:00", last: "10:00" },
    ],
    [
      "an edit long ago changes nothing",
      "12:30",
      { catchup: "all", plan_from: day("04:00") },
      { runs: ["10:00", "11:00", "12:00"], missed: null, next: "13:00", last: "12:00" },
    ],
    [
      "set by hand to 10:17, off the grid",
      "12:30",
      { catchup: "all", due: day("10:17") },
      { runs: ["10:17", "11:00", "12:00"], missed: null, next: "13:00", last: "12:00" },
    ],
    [
      "off the grid, latest",
      "12:30",
      { due: day("10:17") },
      { runs: ["12:00"], missed: ["10:17", "11:00", 2], next: "13:00", last: "12:00" },
    ],
    [
      "off the grid, alone",
      "10:18",
      { due: day("10:17") },
      { runs: ["10:17"], missed: null, next: "11:00", last: "10:17" },
    ],
  ])("%s", (_what, now, input, expected) => {
    expect(shown(decide(hourly, { due: day("10:00"), now: day(now), ...input }))).toEqual(expected);
  });
});

describe("a year of outage", () => {
  const due = at("2025-01-01T00:00:00Z");
  const now = at("2026-01-01T00:00:30Z");

  test("of a schedule of every minute is one run and one range, in bounded time", () => {
    const decideOnce = () =>
      expect(decide(cron("* * * * *", { timezone: "Europe/Berlin" }), { due, now })).toEqual({
        runs: [at("2026-01-01T00:00:00Z")],
        missed: { first: due, last: at("2025-12-31T23:59:00Z"), count: 10_000 },
        next: at("2026-01-01T00:01:00Z"),
        last: at("2026-01-01T00:00:00Z"),
      });
    const took = processorMs(() => {
      for (let i = 0; i < 200; i++) decideOnce();
    });
    expect(took).toBeLessThan(500);
  });

  test("with all, what lies in the window is dealt with batch by batch, each instant once", () => {
    const recurrence = cron("* * * * *");
    const runs: Instant[] = [];
    let next: Instant | null = due;
    let missed = 0;
    for (let batches = 0; next !== null && next <= now; batches++) {
      const decision: DueDecision = decide(recurrence, { due: next, now, catchup: "all", limit: 100 });
      expect(decision.runs.length).toBeLessThanOrEqual(100);
      runs.push(...decision.runs);
      missed += decision.missed === null ? 0 : 1;
      next = decision.next;
      expect(batches).toBeLessThan(20);
    }
    // From 00:01 of the day before: 00:00 is 30 s too old.
    expect(runs).toEqual(forwards(recurrence, at("2025-12-31T00:01:00Z"), now + 1));
    expect(missed).toBe(1);
    expect(iso(next)).toBe("2026-01-01T00:01:00Z");
  });
});

describe("every policy × kind × outage, against the definition applied to a list", () => {
  const start = at("2026-03-27T01:30:00Z");
  const recurrences: [string, Recurrence][] = [
    ["cron every 5 minutes", cron("*/5 * * * *")],
    ["cron daily in a gap", cron("30 2 * * *", { timezone: "Europe/Berlin" })],
    ["cron monthly", cron("30 1 27 * *")],
    ["interval", interval(5_400, { interval_anchor: start })],
    ["calendar", calendar({ times: ["01:30", "13:00"], days_of_week: ["friday", "sunday"] })],
    ["calendar that ends", calendar({ times: ["01:30"], end_day: "2026-03-29" })],
    ["once", once("2026-03-27T01:30:00Z")],
    ["event, set due by hand", compileRecurrence(timing("event"))],
    ["manual, set due by hand", compileRecurrence(timing("manual"))],
  ];
  const outages = [0, 20, 59_999, 60_000, 60_001, 10 * 60 * SECOND, 7 * HOUR, DAY, 25 * HOUR, 3 * DAY, 40 * DAY];

  test.each(recurrences)("%s", (_kind, recurrence) => {
    for (const outage of outages) {
      for (const catchup of ["latest", "all", "skip"] as const) {
        for (const catchup_window_seconds of [600, 86_400]) {
          for (const max_runs_left of [null, 1, 3]) {
            for (const limit of [1, 4, 1_000]) {
              for (const plan_from of [null, start - HOUR, start + outage / 2, start + outage]) {
                const input = {
                  due: start,
                  now: start + outage,
                  catchup,
                  catchup_window_seconds,
                  max_runs_left,
                  limit,
                  plan_from,
                };
                expect(decide(recurrence, input), JSON.stringify(input)).toEqual(byDefinition(recurrence, input));
              }
            }
          }
        }
      }
    }
  });
});

test("is not asked about what is not due", () => {
  const now = at("2026-01-01T00:00:00Z");
  expect(() => decide(cron("* * * * *"), { due: now + 1, now })).toThrow(RangeError);
  expect(() => decide(cron("* * * * *"), { due: Number.NaN, now })).toThrow(RangeError);
  expect(() => decide(cron("* * * * *"), { due: now, now, limit: 0 })).toThrow(RangeError);
});

interface Considered {
  readonly due: Instant;
  readonly now: Instant;
  readonly plan_from: Instant | null;
  readonly catchup: CatchUp;
  readonly catchup_window_seconds: number;
  readonly max_runs_left: number | null;
  readonly limit: number;
}

/** The words of decideDue's documentation, applied to the list of all occurrences. */
function byDefinition(recurrence: Recurrence, input: Considered): DueDecision {
  const base = Math.max(input.due, input.plan_from ?? input.due);
  const considered = [input.due, ...forwards(recurrence, base + 1, input.now + 1)];
  const tolerance = (input.catchup === "skip" ? 60 : input.catchup_window_seconds) * SECOND;
  const timely = considered.filter((instant) => input.now - instant <= tolerance);
  const wanted = input.catchup === "all" ? timely : timely.slice(-1);
  const runs = wanted.slice(0, Math.min(input.limit, input.max_runs_left ?? input.limit));
  const missed = considered.filter((instant) => !wanted.includes(instant));
  const last = (runs.length > 0 ? runs.at(-1) : considered.at(-1)) as Instant;
  const left = wanted.slice(runs.length);
  const later = nextOccurrence(recurrence, Math.max(base, input.now));
  return {
    runs,
    missed:
      missed.length === 0
        ? null
        : { first: missed[0] as Instant, last: missed.at(-1) as Instant, count: Math.min(10_000, missed.length) },
    next: input.max_runs_left !== null && runs.length === input.max_runs_left ? null : (left[0] ?? later),
    last,
  };
}

function decide(recurrence: Recurrence, input: Partial<DueInput> & { due: Instant; now: Instant }): DueDecision {
  return decideDue({
    recurrence,
    plan_from: null,
    catchup: "latest",
    catchup_window_seconds: 86_400,
    max_runs_left: null,
    limit: 100,
    ...input,
  });
}

/** A time of 21 November 2026. */
function day(time: string): Instant {
  return at(`2026-11-21T${time.length === 5 ? `${time}:00` : time}Z`);
}

function shown({ runs, missed, next, last }: DueDecision): unknown {
  const time = (instant: Instant) => (iso(instant) as string).slice(11, 16);
  return {
    runs: runs.map(time),
    missed: missed === null ? null : [time(missed.first), time(missed.last), missed.count],
    next: next === null ? null : time(next),
    last: time(last),
  };
}
