import { describe, expect, test } from "vitest";
import { dstEffect, nextOccurrence } from "../../../src/schedule/recurrence.ts";
import type { Timing } from "../../../src/schedule/timing.ts";
import { at, backwards, calendar, cron, forwards, iso, upcoming } from "./timings.ts";

/** The instants of one local stretch, written with their offsets so that one can see which side of a change they are on. */
function expectBetween(
  zone: string,
  expression: string,
  policy: Partial<Timing>,
  from: string,
  until: string,
  expected: string[],
) {
  const recurrence = cron(expression, { timezone: zone, ...policy });
  const instants = expected.map(at);
  expect(forwards(recurrence, at(from), at(until)).map(iso)).toEqual(instants.map(iso));
  expect(backwards(recurrence, at(from), at(until)).map(iso)).toEqual(instants.map(iso));
}

describe("a gap: clocks jump forward", () => {
  const berlin = ["2026-03-28T12:00:00+01:00", "2026-03-30T12:00:00+02:00"] as const;

  test("Berlin 02:30 does not exist on 29 March 2026 and fires at 03:00, the first instant after the gap", () => {
    expectBetween("Europe/Berlin", "30 2 * * *", {}, ...berlin, [
      "2026-03-29T03:00:00+02:00",
      "2026-03-30T02:30:00+02:00",
    ]);
  });

  test("skip leaves the day out", () => {
    expectBetween("Europe/Berlin", "30 2 * * *", { dst_gap: "skip" }, ...berlin, ["2026-03-30T02:30:00+02:00"]);
  });

  test("the four quarters of the missing hour are one occurrence, merged with 03:00", () => {
    expectBetween("Europe/Berlin", "*/15 2,3 29 3 *", {}, ...berlin, [
      "2026-03-29T03:00:00+02:00",
      "2026-03-29T03:15:00+02:00",
      "2026-03-29T03:30:00+02:00",
      "2026-03-29T03:45:00+02:00",
    ]);
  });

  test("hour *: no real hour is missing, so nothing is made up for", () => {
    expectBetween("Europe/Berlin", "20 * * * *", {}, "2026-03-29T00:30:00+01:00", "2026-03-29T05:00:00+02:00", [
      "2026-03-29T01:20:00+01:00",
      "2026-03-29T03:20:00+02:00",
      "2026-03-29T04:20:00+02:00",
    ]);
  });

  test.each(["*", "*/1", "0-23", "0-11,12-23"])("hour %s is every hour, however it is written", (hour) => {
    expectBetween("Europe/Berlin", `20 ${hour} * * *`, {}, "2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00", [
      "2026-03-29T01:20:00+01:00",
      "2026-03-29T03:20:00+02:00",
    ]);
  });

  test("hour * with a fold policy reads the wall clock, so the gap policy counts too", () => {
    expectBetween(
      "Europe/Berlin",
      "20 * * * *",
      { dst_fold: "first" },
      "2026-03-29T01:00:00+01:00",
      "2026-03-29T04:00:00+02:00",
      ["2026-03-29T01:20:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00"],
    );
  });

  test("New York", () => {
    expectBetween("America/New_York", "30 2 * * *", {}, "2026-03-07T12:00:00-05:00", "2026-03-09T12:00:00-04:00", [
      "2026-03-08T03:00:00-04:00",
      "2026-03-09T02:30:00-04:00",
    ]);
  });

  test("Lord Howe jumps half an hour: 02:15 fires at 02:30", () => {
    expectBetween("Australia/Lord_Howe", "15 2 * * *", {}, "2026-10-03T12:00:00+10:30", "2026-10-05T12:00:00+11:00", [
      "2026-10-04T02:30:00+11:00",
      "2026-10-05T02:15:00+11:00",
    ]);
    expectBetween("Australia/Lord_Howe", "*/15 * * * *", {}, "2026-10-04T01:30:00+10:30", "2026-10-04T03:01:00+11:00", [
      "2026-10-04T01:30:00+10:30",
      "2026-10-04T01:45:00+10:30",
      "2026-10-04T02:30:00+11:00",
      "2026-10-04T02:45:00+11:00",
      "2026-10-04T03:00:00+11:00",
    ]);
  });

  test("Troll jumps two hours", () => {
    expectBetween("Antarctica/Troll", "30 1,2 * * *", {}, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00+02:00", [
      "2026-03-29T03:00:00+02:00",
    ]);
  });

  test("Apia has no 30 December 2011: a whole day becomes one occurrence, the first instant of the 31st", () => {
    const days = ["2011-12-29T00:00:00-10:00", "2012-01-01T12:00:00+14:00"] as const;
    expectBetween("Pacific/Apia", "0 9 * * *", {}, ...days, [
      "2011-12-29T09:00:00-10:00",
      "2011-12-31T00:00:00+14:00",
      "2011-12-31T09:00:00+14:00",
      "2012-01-01T09:00:00+14:00",
    ]);
    expectBetween("Pacific/Apia", "0 0 * * *", {}, ...days, [
      "2011-12-29T00:00:00-10:00",
      "2011-12-31T00:00:00+14:00",
      "2012-01-01T00:00:00+14:00",
    ]);
    expectBetween("Pacific/Apia", "0 9 30 12 *", { dst_gap: "skip" }, ...days, []);
  });

  test("Casablanca leaves the winter time of Ramadan 2026", () => {
    expectBetween("Africa/Casablanca", "30 2 * * *", {}, "2026-03-21T12:00:00Z", "2026-03-23T12:00:00+01:00", [
      "2026-03-22T03:00:00+01:00",
      "2026-03-23T02:30:00+01:00",
    ]);
  });
});

describe("a fold: clocks jump back", () => {
  const berlin = ["2026-10-24T12:00:00+02:00", "2026-10-26T12:00:00+01:00"] as const;
  const next_day = "2026-10-26T02:30:00+01:00";

  test.each<[Timing["dst_fold"], string[]]>([
    [null, ["2026-10-25T02:30:00+02:00", next_day]],
    ["first", ["2026-10-25T02:30:00+02:00", next_day]],
    ["second", ["2026-10-25T02:30:00+01:00", next_day]],
    ["both", ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", next_day]],
  ])("Berlin 02:30 exists twice on 25 October 2026; %s", (dst_fold, expected) => {
    expectBetween("Europe/Berlin", "30 2 * * *", { dst_fold }, ...berlin, expected);
  });

  test("quarters of the doubled hour: once, in the first pass", () => {
    expectBetween("Europe/Berlin", "*/30 1-3 25 10 *", {}, ...berlin, [
      "2026-10-25T01:00:00+02:00",
      "2026-10-25T01:30:00+02:00",
      "2026-10-25T02:00:00+02:00",
      "2026-10-25T02:30:00+02:00",
      "2026-10-25T03:00:00+01:00",
      "2026-10-25T03:30:00+01:00",
    ]);
  });

  test("hour *: both passes fire, because both hours are real", () => {
    expectBetween("Europe/Berlin", "0 * * * *", {}, "2026-10-25T01:30:00+02:00", "2026-10-25T03:30:00+01:00", [
      "2026-10-25T02:00:00+02:00",
      "2026-10-25T02:00:00+01:00",
      "2026-10-25T03:00:00+01:00",
    ]);
    expectBetween(
      "Europe/Berlin",
      "0 * * * *",
      { dst_fold: "first" },
      "2026-10-25T01:30:00+02:00",
      "2026-10-25T03:30:00+01:00",
      ["2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"],
    );
  });

  test("*/2 is not every hour", () => {
    expectBetween("Europe/Berlin", "0 */2 25 10 *", {}, "2026-10-25T01:00:00+02:00", "2026-10-25T05:00:00+01:00", [
      "2026-10-25T02:00:00+02:00",
      "2026-10-25T04:00:00+01:00",
    ]);
  });

  test("seconds fire through both passes", () => {
    const recurrence = cron("*/20 * * * * *", { timezone: "Europe/Berlin" });
    const found = forwards(recurrence, at("2026-10-25T02:00:00+02:00"), at("2026-10-25T03:00:00+01:00"));
    expect(found).toHaveLength(2 * 180);
    expect(new Set(found.map((instant, i) => instant - (found[i - 1] ?? instant - 20_000)))).toEqual(new Set([20_000]));
  });

  test("New York", () => {
    expectBetween(
      "America/New_York",
      "30 1 * * *",
      { dst_fold: "second" },
      "2026-10-31T12:00:00-04:00",
      "2026-11-02T00:00:00-05:00",
      ["2026-11-01T01:30:00-05:00"],
    );
  });

  test("Lord Howe repeats half an hour", () => {
    expectBetween("Australia/Lord_Howe", "45 * * * *", {}, "2026-04-05T01:00:00+11:00", "2026-04-05T03:00:00+10:30", [
      "2026-04-05T01:45:00+11:00",
      "2026-04-05T01:45:00+10:30",
      "2026-04-05T02:45:00+10:30",
    ]);
    expectBetween(
      "Australia/Lord_Howe",
      "15,45 1 5 4 *",
      { dst_fold: "both" },
      "2026-04-05T00:00:00+11:00",
      "2026-04-05T12:00:00+10:30",
      ["2026-04-05T01:15:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30"],
    );
  });

  test("Dublin, where winter is the daylight saving time by law, folds like any other", () => {
    expectBetween("Europe/Dublin", "30 1 * * *", {}, "2026-10-24T12:00:00+01:00", "2026-10-26T00:00:00Z", [
      "2026-10-25T01:30:00+01:00",
    ]);
    expectBetween("Europe/Dublin", "30 1 * * *", {}, "2026-03-28T12:00:00Z", "2026-03-30T00:00:00+01:00", [
      "2026-03-29T02:00:00+01:00",
    ]);
  });

  test("Casablanca enters Ramadan 2026", () => {
    expectBetween(
      "Africa/Casablanca",
      "30 2 * * *",
      { dst_fold: "both" },
      "2026-02-14T12:00:00+01:00",
      "2026-02-16T00:00:00Z",
      ["2026-02-15T02:30:00+01:00", "2026-02-15T02:30:00Z"],
    );
  });

  test("Troll repeats two hours", () => {
    expectBetween(
      "Antarctica/Troll",
      "30 1,2 25 10 *",
      { dst_fold: "both" },
      "2026-10-25T00:00:00+02:00",
      "2026-10-25T12:00:00Z",
      ["2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
    );
  });

  test("a calendar whose last day ends in a fold still fires in the second pass", () => {
    const value = { times: ["02:30:00"], start_day: "2026-10-20", end_day: "2026-10-25" };
    const recurrence = calendar(value, { timezone: "Europe/Berlin", dst_fold: "both" });
    expect(nextOccurrence(recurrence, at("2026-10-25T02:30:00+02:00"))).toBe(at("2026-10-25T02:30:00+01:00"));
    expect(nextOccurrence(recurrence, at("2026-10-25T02:45:00+02:00"))).toBe(at("2026-10-25T02:30:00+01:00"));
    expect(nextOccurrence(recurrence, at("2026-10-25T02:30:00+01:00"))).toBeNull();
  });
});

describe("a fold that the edge of a cached year (2^25 s) cuts", () => {
  // Santiago, 10 March 1973: 24:00 became 23:00 at 03:00Z; the edge lies at 02:01:36Z.
  test("a last occurrence in its second pass is found from before the edge", () => {
    const value = { times: ["23:01:00"], end_day: "1973-03-10" };
    const recurrence = calendar(value, { timezone: "America/Santiago", dst_fold: "both" });
    expect(iso(nextOccurrence(recurrence, at("1973-03-11T02:01:10Z")))).toBe("1973-03-11T03:01:00Z");
  });
});

describe("the edges of the calendar", () => {
  test("29 February, over the leap year that 2100 is not", () => {
    expect(upcoming(cron("0 0 29 2 *"), "2092-03-01T00:00:00Z", 3)).toEqual([
      "2096-02-29T00:00:00Z",
      "2104-02-29T00:00:00Z",
      "2108-02-29T00:00:00Z",
    ]);
    expect(upcoming(cron("0 0 29 2 *", { timezone: "Europe/Berlin" }), "2096-03-01T00:00:00Z", 1)).toEqual([
      "2104-02-28T23:00:00Z",
    ]);
  });

  test("a leap day on a Monday, 40 years apart around 2100", () => {
    expect(upcoming(cron("0 0 29 2 +MON", { timezone: "America/New_York" }), "2072-03-01T00:00:00Z", 1)).toEqual([
      "2112-02-29T05:00:00Z",
    ]);
  });

  test("the 31st skips the months that lack it", () => {
    expect(upcoming(cron("0 12 31 * *"), "2026-01-31T12:00:00Z", 4)).toEqual([
      "2026-03-31T12:00:00Z",
      "2026-05-31T12:00:00Z",
      "2026-07-31T12:00:00Z",
      "2026-08-31T12:00:00Z",
    ]);
  });

  test("L in February", () => {
    expect(upcoming(cron("0 0 L 2 *"), "2023-01-01T00:00:00Z", 3)).toEqual([
      "2023-02-28T00:00:00Z",
      "2024-02-29T00:00:00Z",
      "2025-02-28T00:00:00Z",
    ]);
  });

  test("daylight saving time goes on in 2100 and beyond", () => {
    expect(upcoming(cron("0 12 1 1,7 *", { timezone: "Europe/Berlin" }), "2099-12-31T00:00:00Z", 2)).toEqual([
      "2100-01-01T11:00:00Z",
      "2100-07-01T10:00:00Z",
    ]);
  });

  test("nothing is due before 1970 or after 9999", () => {
    const daily = cron("0 0 * * *", { timezone: "Europe/Berlin" });
    expect(iso(nextOccurrence(daily, Number.NEGATIVE_INFINITY))).toBe("1970-01-01T23:00:00Z");
    expect(iso(nextOccurrence(daily, at("9999-12-30T00:00:00Z")))).toBe("9999-12-30T23:00:00Z");
    expect(nextOccurrence(daily, at("9999-12-31T00:00:00Z"))).toBeNull();
    expect(nextOccurrence(daily, Number.POSITIVE_INFINITY)).toBeNull();
    const west = cron("59 23 31 12 *", { timezone: "America/New_York" });
    expect(nextOccurrence(west, at("9999-01-02T00:00:00Z"))).toBeNull();
  });
});

test("dstEffect marks what a clock change touched", () => {
  const daily = cron("30 2 * * *", { timezone: "Europe/Berlin" });
  expect(dstEffect(daily, at("2026-03-29T03:00:00+02:00"))).toBe("gap");
  expect(dstEffect(daily, at("2026-03-30T02:30:00+02:00"))).toBeNull();
  expect(dstEffect(daily, at("2026-10-25T02:30:00+02:00"))).toBe("fold");
  expect(dstEffect(daily, at("2026-10-25T02:30:00+01:00"))).toBe("fold");
  expect(dstEffect(daily, at("2026-10-26T02:30:00+01:00"))).toBeNull();
  expect(dstEffect(cron("0 3 * * *", { timezone: "Europe/Berlin" }), at("2026-03-29T03:00:00+02:00"))).toBeNull();
  expect(dstEffect(cron("0 * * * *", { timezone: "Europe/Berlin" }), at("2026-03-29T03:00:00+02:00"))).toBeNull();
  expect(dstEffect(cron("30 2 * * *"), at("2026-03-29T02:30:00Z"))).toBeNull();
});
