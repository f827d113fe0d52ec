import { describe, expect, test } from "vitest";
import { InvalidInput } from "../../../src/schedule/errors.ts";
import { nextOccurrence, previousOccurrence } from "../../../src/schedule/recurrence.ts";
import { at, backwards, calendar, forwards, upcoming } from "./timings.ts";

describe("days", () => {
  test("every day, where none are named (seed 002: empty DaysOfWeek, no DaysOfMonth)", () => {
    const value = {
      times: ["02:00:00"],
      days_of_week: [],
      days_of_month: null,
      start_day: "2026-02-10",
      end_day: "2026-12-31",
    };
    expect(upcoming(calendar(value), "2026-01-01T00:00:00Z", 2)).toEqual([
      "2026-02-10T02:00:00Z",
      "2026-02-11T02:00:00Z",
    ]);
    expect(upcoming(calendar(value), "2026-12-30T12:00:00Z", 9)).toEqual(["2026-12-31T02:00:00Z"]);
  });

  test("days of the week, in any case", () => {
    const value = { times: ["08:00:00"], days_of_week: ["Monday", "friday", "WEDNESDAY", "monday"] };
    expect(upcoming(calendar(value), "2026-11-21T00:00:00Z", 4)).toEqual([
      "2026-11-23T08:00:00Z",
      "2026-11-25T08:00:00Z",
      "2026-11-27T08:00:00Z",
      "2026-11-30T08:00:00Z",
    ]);
  });

  test("days of the month, counted from both ends", () => {
    const value = { times: ["00:00:00"], days_of_month: [1, 15, -1] };
    expect(upcoming(calendar(value), "2027-01-20T00:00:00Z", 5)).toEqual([
      "2027-01-31T00:00:00Z",
      "2027-02-01T00:00:00Z",
      "2027-02-15T00:00:00Z",
      "2027-02-28T00:00:00Z",
      "2027-03-01T00:00:00Z",
    ]);
  });

  test("a month that lacks the day is skipped, from either end", () => {
    expect(upcoming(calendar({ times: ["00:00"], days_of_month: [30] }), "2026-12-31T00:00:00Z", 2)).toEqual([
      "2027-01-30T00:00:00Z",
      "2027-03-30T00:00:00Z",
    ]);
    expect(upcoming(calendar({ times: ["00:00"], days_of_month: [-30] }), "2027-01-01T00:00:00Z", 3)).toEqual([
      "2027-01-02T00:00:00Z",
      "2027-03-02T00:00:00Z",
      "2027-04-01T00:00:00Z",
    ]);
  });

  test("a day named from both ends is one day", () => {
    expect(upcoming(calendar({ times: ["00:00"], days_of_month: [31, -1] }), "2027-01-01T00:00:00Z", 2)).toEqual([
      "2027-01-31T00:00:00Z",
      "2027-02-28T00:00:00Z",
    ]);
  });
});

describe("times", () => {
  test("several a day, in any order, each once", () => {
    const value = { times: ["22:00:00", "06:30", "06:30:00", "06:30:15"] };
    expect(upcoming(calendar(value), "2026-11-21T00:00:00Z", 4)).toEqual([
      "2026-11-21T06:30:00Z",
      "2026-11-21T06:30:15Z",
      "2026-11-21T22:00:00Z",
      "2026-11-22T06:30:00Z",
    ]);
  });

  test("are local: start_day and end_day are days of the zone, both inclusive", () => {
    const value = { times: ["00:30:00"], start_day: "2026-11-21", end_day: "2026-11-22" };
    expect(upcoming(calendar(value, { timezone: "Asia/Tokyo" }), "2026-11-01T00:00:00Z", 9)).toEqual([
      "2026-11-20T15:30:00Z",
      "2026-11-21T15:30:00Z",
    ]);
  });
});

test("a window whose only days are its ends", () => {
  const value = { times: ["12:00"], days_of_month: [1, 15], start_day: "2026-11-15", end_day: "2026-12-01" };
  const recurrence = calendar(value);
  const days = [at("2026-11-15T12:00:00Z"), at("2026-12-01T12:00:00Z")];
  expect(forwards(recurrence, 0, at("2030-01-01T00:00:00Z"))).toEqual(days);
  expect(backwards(recurrence, 0, at("2030-01-01T00:00:00Z"))).toEqual(days);
  expect(nextOccurrence(recurrence, at("2026-11-16T00:00:00Z"))).toBe(days[1]);
  expect(previousOccurrence(recurrence, at("2026-11-30T00:00:00Z"))).toBe(days[0]);
});

describe("what is wrong is named", () => {
  test.each<[unknown, string, string]>([
    [null, "calendar", "must be an object"],
    [undefined, "calendar", "must be an object"],
    ["22:00", "calendar", "must be an object"],
    [["22:00:00"], "calendar", "must be an object"],
    [{}, "calendar.times", "at least one"],
    [{ times: [] }, "calendar.times", "at least one"],
    [{ times: null }, "calendar.times", "at least one"],
    [{ times: "22:00:00" }, "calendar.times", "must be a list"],
    [{ times: ["24:00:00"] }, "calendar.times", "24:00:00"],
    [{ times: ["22:60"] }, "calendar.times", "22:60"],
    [{ times: ["2:00"] }, "calendar.times", "2:00"],
    [{ times: ["10pm"] }, "calendar.times", "10pm"],
    [{ times: [2200] }, "calendar.times", "2200"],
    [{ times: Array.from({ length: 1_441 }, () => "22:00") }, "calendar.times", "more than 1440"],
    [{ times: ["22:00"], days_of_week: ["mon"] }, "calendar.days_of_week", "mon"],
    [{ times: ["22:00"], days_of_week: ["Caturday"] }, "calendar.days_of_week", "Caturday"],
    [{ times: ["22:00"], days_of_week: [1] }, "calendar.days_of_week", "1"],
    [{ times: ["22:00"], days_of_week: "monday" }, "calendar.days_of_week", "must be a list"],
    [{ times: ["22:00"], days_of_month: [0] }, "calendar.days_of_month", "0"],
    [{ times: ["22:00"], days_of_month: [32] }, "calendar.days_of_month", "32"],
    [{ times: ["22:00"], days_of_month: [-32] }, "calendar.days_of_month", "-32"],
    [{ times: ["22:00"], days_of_month: [1.5] }, "calendar.days_of_month", "1.5"],
    [{ times: ["22:00"], days_of_month: "1,15" }, "calendar.days_of_month", "must be a list"],
    [{ times: ["22:00"], days_of_week: ["monday"], days_of_month: [1] }, "calendar.days_of_month", "kind cron"],
    [{ times: ["22:00"], start_day: "2026-02-30" }, "calendar.start_day", "must be a date"],
    [{ times: ["22:00"], start_day: "10.2.2026" }, "calendar.start_day", "must be a date"],
    [{ times: ["22:00"], start_day: 20260210 }, "calendar.start_day", "must be a date"],
    [{ times: ["22:00"], end_day: "2026-13-01" }, "calendar.end_day", "must be a date"],
    [{ times: ["22:00"], end_day: "1969-12-31" }, "calendar.end_day", "before 1970"],
    [{ times: ["22:00"], start_day: "2026-02-11", end_day: "2026-02-10" }, "calendar.end_day", "before start_day"],
    [{ times: ["22:00"], day_of_week: ["monday"] }, "calendar.day_of_week", "unknown"],
    [
      { times: ["22:00"], days_of_month: [31], start_day: "2026-02-01", end_day: "2026-02-28" },
      "calendar",
      "never happens",
    ],
  ])("%j", (value, field, message) => {
    expect(faults(value)).toEqual([{ field, message: expect.stringContaining(message) }]);
  });

  test("all at once", () => {
    expect(
      faults({ times: ["25:00"], days_of_week: ["someday"], days_of_month: [99], start_day: "?", more: 1 }),
    ).toHaveLength(5);
  });
});

function faults(value: unknown): InvalidInput["errors"] {
  try {
    calendar(value);
  } catch (error) {
    if (error instanceof InvalidInput) return error.errors;
    throw error;
  }
  throw new Error("was accepted");
}
