import { expect, test } from "vitest";
import {
  dayNumber,
  dayOf,
  daysInMonth,
  monthOf,
  packedDate,
  weekdayOf,
  yearOf,
} from "../../../src/schedule/civil-date.ts";

test("agrees with Date on every day from 1970 to 2500 and on the last days of 9999", () => {
  const last = Date.UTC(9999, 11, 31) / 86_400_000;
  for (let day = 0; day <= last; day = day === 193_600 ? last - 800 : day + 1) {
    const date = new Date(day * 86_400_000);
    const packed = packedDate(day);
    const expected = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCDay()];
    // One comparison a day: 200,000 calls of expect would take longer than everything else here.
    if (`${[yearOf(packed), monthOf(packed), dayOf(packed), weekdayOf(day)]}` !== `${expected}`) {
      expect([yearOf(packed), monthOf(packed), dayOf(packed), weekdayOf(day)]).toEqual(expected);
    }
    if (dayNumber(yearOf(packed), monthOf(packed), dayOf(packed)) !== day) expect(packed).toBe(day);
  }
});

test("months have their lengths, and the centuries their leap years", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((month) => daysInMonth(2026, month))).toEqual([
    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31,
  ]);
  expect([2000, 2024, 2100, 2400, 9999].map((year) => daysInMonth(year, 2))).toEqual([29, 29, 28, 29, 28]);
});
