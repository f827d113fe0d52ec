import {
  dayNumber,
  dayOf,
  daysInMonth,
  monthOf,
  packedDate,
  SECONDS_PER_DAY,
  weekdayOf,
  yearOf,
} from "./civil-date.ts";
import { type DayRule, monthShape } from "./day-rule.ts";
import type { TimesOfDay } from "./time-of-day.ts";

/** What cron expressions and calendars have in common: times of day on chosen days of chosen months. */
export interface LocalPattern {
  /** Bit `month - 1`. */
  readonly months: number;
  readonly days: DayRule;
  readonly times: TimesOfDay;
  /** First and last day number, both inclusive. */
  readonly first_day: number;
  readonly last_day: number;
}

export const EVERY_MONTH = 0xfff;
/** 1970-01-01 and 9999-12-31: nothing is due outside. They bound every search. */
export const FIRST_DAY = 0;
export const LAST_DAY = dayNumber(9999, 12, 31);

/**
 * The first matching local second at or after `second`, or Infinity. "Local seconds" count like Unix seconds, but on
 * the wall clock: no zone, no gap, no fold.
 */
export function nextLocal(pattern: LocalPattern, second: number): number {
  let day = Math.floor(second / SECONDS_PER_DAY);
  let time = second - day * SECONDS_PER_DAY;
  if (day < pattern.first_day) {
    day = pattern.first_day;
    time = 0;
  }
  if (day > pattern.last_day) return Number.POSITIVE_INFINITY;

  const date = packedDate(day);
  let year = yearOf(date);
  let month = monthOf(date);
  const day_of_month = dayOf(date);
  let length = daysInMonth(year, month);
  let first = day - day_of_month + 1;
  // Days before the one we start on are struck out of the first month.
  let days = wantedDays(pattern, month, length, first) & (-1 << (day_of_month - 1));

  if ((days & (1 << (day_of_month - 1))) !== 0) {
    const found = pattern.times.atOrAfter(time);
    if (found >= 0) return day * SECONDS_PER_DAY + found;
    days &= ~(1 << (day_of_month - 1));
  }
  while (days === 0) {
    first += length;
    if (first > pattern.last_day) return Number.POSITIVE_INFINITY;
    month += 1;
    if (month === 13) {
      month = 1;
      year += 1;
    }
    length = daysInMonth(year, month);
    days = wantedDays(pattern, month, length, first);
  }
  const found = first + lowestBit(days);
  return found > pattern.last_day ? Number.POSITIVE_INFINITY : found * SECONDS_PER_DAY + pattern.times.first;
}

/** The last matching local second at or before `second`, or -Infinity. */
export function previousLocal(pattern: LocalPattern, second: number): number {
  let day = Math.floor(second / SECONDS_PER_DAY);
  let time = second - day * SECONDS_PER_DAY;
  if (day > pattern.last_day) {
    day = pattern.last_day;
    time = SECONDS_PER_DAY - 1;
  }
  if (day < pattern.first_day) return Number.NEGATIVE_INFINITY;

  const date = packedDate(day);
  let year = yearOf(date);
  let month = monthOf(date);
  const day_of_month = dayOf(date);
  let first = day - day_of_month + 1;
  let days = wantedDays(pattern, month, daysInMonth(year, month), first) & ((2 << (day_of_month - 1)) - 1);

  if ((days & (1 << (day_of_month - 1))) !== 0) {
    const found = pattern.times.atOrBefore(time);
    if (found >= 0) return day * SECONDS_PER_DAY + found;
    days &= ~(1 << (day_of_month - 1));
  }
  while (days === 0) {
    if (first <= pattern.first_day) return Number.NEGATIVE_INFINITY;
    month -= 1;
    if (month === 0) {
      month = 12;
      year -= 1;
    }
    const length = daysInMonth(year, month);
    first -= length;
    days = wantedDays(pattern, month, length, first);
  }
  const found = first + highestBit(days);
  return found < pattern.first_day ? Number.NEGATIVE_INFINITY : found * SECONDS_PER_DAY + pattern.times.last;
}

/** How many local seconds in [from, until) match; stops counting once `limit` is reached. Costs O(months), not O(count). */
export function countLocal(pattern: LocalPattern, from: number, until: number, limit: number): number {
  if (until <= from) return 0;
  const from_day = Math.max(Math.floor(from / SECONDS_PER_DAY), pattern.first_day);
  const until_day = Math.min(Math.floor(until / SECONDS_PER_DAY), pattern.last_day + 1);
  const skipped = Math.max(0, from - from_day * SECONDS_PER_DAY);
  const reached = Math.max(0, Math.min(SECONDS_PER_DAY, until - until_day * SECONDS_PER_DAY));

  // Whole days from `from_day` up to, not including, `until_day`; the broken ones at the ends are mended before and after.
  let count = matchesDay(pattern, from_day) ? -pattern.times.countBefore(skipped) : 0;
  for (let day = from_day; day < until_day; ) {
    const date = packedDate(day);
    const length = daysInMonth(yearOf(date), monthOf(date));
    const first = day - dayOf(date) + 1;
    const until_day_of_month = Math.min(length, until_day - first);
    const range = (-1 << (dayOf(date) - 1)) & ((2 << (until_day_of_month - 1)) - 1);
    count += bitCount(wantedDays(pattern, monthOf(date), length, first) & range) * pattern.times.count;
    if (count >= limit) return limit;
    day = first + length;
  }
  if (matchesDay(pattern, until_day)) count += pattern.times.countBefore(reached);
  return Math.min(count, limit);
}

function matchesDay(pattern: LocalPattern, day: number): boolean {
  if (day < pattern.first_day || day > pattern.last_day) return false;
  const date = packedDate(day);
  const bit = 1 << (dayOf(date) - 1);
  return (
    (wantedDays(pattern, monthOf(date), daysInMonth(yearOf(date), monthOf(date)), day - dayOf(date) + 1) & bit) !== 0
  );
}

function wantedDays(pattern: LocalPattern, month: number, length: number, first: number): number {
  if ((pattern.months & (1 << (month - 1))) === 0) return 0;
  return pattern.days[monthShape(length, weekdayOf(first))] as number;
}

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);
const highestBit = (bits: number): number => 31 - Math.clz32(bits);

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
