import { describe, expect, test } from "vitest";
import { InvalidInput } from "../../../src/schedule/errors.ts";
import { compileRecurrence, resolveLocalTime, type Timing } from "../../../src/schedule/timing.ts";
import { at, cron, iso, timing, upcoming } from "./timings.ts";

describe("compileRecurrence names the columns at fault", () => {
  test.each<[Timing["kind"], Record<string, unknown>, string[]]>([
    ["cron", {}, ["cron_expression"]],
    ["cron", { cron_expression: 5 }, ["cron_expression"]],
    ["cron", { cron_expression: "60 * * * *", timezone: "Europe/Atlantis" }, ["timezone", "cron_expression"]],
    [
      "cron",
      { cron_expression: "x", timezone: null, dst_gap: "jump", dst_fold: "third" },
      ["timezone", "dst_gap", "dst_fold", "cron_expression"],
    ],
    ["interval", {}, ["interval_seconds"]],
    ["interval", { interval_seconds: 0 }, ["interval_seconds"]],
    ["interval", { interval_seconds: -5 }, ["interval_seconds"]],
    ["interval", { interval_seconds: 1.5 }, ["interval_seconds"]],
    ["interval", { interval_seconds: Number.NaN }, ["interval_seconds"]],
    ["interval", { interval_seconds: 315_576_001 }, ["interval_seconds"]],
    ["interval", { interval_seconds: "60" }, ["interval_seconds"]],
    [
      "interval",
      { interval_seconds: 0, interval_anchor: Number.POSITIVE_INFINITY },
      ["interval_seconds", "interval_anchor"],
    ],
    ["once", {}, ["run_at"]],
    ["once", { run_at: Number.POSITIVE_INFINITY }, ["run_at"]],
    ["once", { run_at: -1 }, ["run_at"]],
    ["once", { run_at: 253_402_300_800_000 }, ["run_at"]],
    ["once", { run_at: at("2026-01-01T00:00:00Z"), starts_at: at("2026-01-02T00:00:00Z") }, ["run_at"]],
    ["calendar", {}, ["calendar"]],
    ["calendar", { calendar: { times: ["25:00"] }, timezone: "BST" }, ["timezone", "calendar.times"]],
    ["manual", { starts_at: 2, ends_at: 1 }, ["ends_at"]],
    ["cron", { cron_expression: "x", starts_at: 2, ends_at: 1 }, ["ends_at", "cron_expression"]],
    ["event", { starts_at: Number.NaN, ends_at: "soon" }, ["starts_at", "ends_at"]],
    ["weekly" as Timing["kind"], {}, ["kind"]],
    ["constructor" as Timing["kind"], {}, ["kind"]],
  ])("%s %j", (kind, columns, fields) => {
    try {
      compileRecurrence(timing(kind, columns as Partial<Timing>));
      expect.unreachable("was accepted");
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidInput);
      expect((error as InvalidInput).errors.map(({ field }) => field)).toEqual(fields);
    }
  });

  test("columns of other kinds may hold anything, so that an UPDATE of the kind alone works", () => {
    const columns = { cron_expression: "nonsense", calendar: 7, timezone: "nowhere", interval_seconds: 60 };
    expect(upcoming(compileRecurrence(timing("interval", columns)), "2026-01-01T00:00:00Z", 1)).toEqual([
      "2026-01-01T00:01:00Z",
    ]);
  });

  test("infinite bounds are no bounds", () => {
    const columns = { starts_at: Number.NEGATIVE_INFINITY, ends_at: Number.POSITIVE_INFINITY };
    expect(upcoming(cron("0 0 * * *", columns), "2026-01-01T00:00:00Z", 1)).toEqual(["2026-01-02T00:00:00Z"]);
    expect(
      upcoming(compileRecurrence(timing("interval", { ...columns, interval_seconds: 60 })), "2026-01-01T00:00:00Z", 1),
    ).toEqual(["2026-01-01T00:01:00Z"]);
  });

  test("one expression in two zones, with and without a policy, is compiled apart", () => {
    const after = "2026-03-28T12:00:00Z";
    expect(upcoming(cron("30 2 * * *", { timezone: "Europe/Berlin" }), after, 1)).toEqual(["2026-03-29T01:00:00Z"]);
    expect(upcoming(cron("30 2 * * *", { timezone: "Europe/Berlin", dst_gap: "skip" }), after, 1)).toEqual([
      "2026-03-30T00:30:00Z",
    ]);
    expect(upcoming(cron("30 2 * * *"), after, 1)).toEqual(["2026-03-29T02:30:00Z"]);
  });
});

describe("resolveLocalTime", () => {
  test.each([
    ["today, if still ahead", "14:30:00", "Europe/Berlin", "2026-11-21T13:29:59.999Z", "2026-11-21T13:30:00Z"],
    [
      "tomorrow, if it is that very instant",
      "14:30:00",
      "Europe/Berlin",
      "2026-11-21T13:30:00Z",
      "2026-11-22T13:30:00Z",
    ],
    ["tomorrow, if past", "14:30", "UTC", "2026-11-21T20:00:00Z", "2026-11-22T14:30:00Z"],
    ["today is the zone's today", "00:30:00", "Asia/Tokyo", "2026-11-20T15:10:00Z", "2026-11-20T15:30:00Z"],
    [
      "in a gap, the first instant after it",
      "02:30:00",
      "Europe/Berlin",
      "2026-03-28T23:00:00Z",
      "2026-03-29T01:00:00Z",
    ],
    ["in a fold, the first of the two", "02:30:00", "Europe/Berlin", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"],
    [
      "in a fold, tomorrow once the first is past",
      "02:30:00",
      "Europe/Berlin",
      "2026-10-25T00:45:00Z",
      "2026-10-26T01:30:00Z",
    ],
    ["over the end of the year", "00:00:00", "America/New_York", "2026-12-31T12:00:00Z", "2027-01-01T05:00:00Z"],
  ])("%s", (_what, time, zone, now, expected) => {
    expect(iso(resolveLocalTime(time, zone, at(now)))).toBe(expected);
  });

  test("skip takes the next day that has the time", () => {
    expect(iso(resolveLocalTime("02:30:00", "Europe/Berlin", at("2026-03-28T23:00:00Z"), "skip"))).toBe(
      "2026-03-30T00:30:00Z",
    );
  });

  test("names what is wrong, all at once", () => {
    try {
      resolveLocalTime("2:30pm", "nowhere", 0);
      expect.unreachable("was accepted");
    } catch (error) {
      expect((error as InvalidInput).errors.map(({ field }) => field)).toEqual(["timezone", "time"]);
    }
  });
});
