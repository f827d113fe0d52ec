import { BoundedCache } from "./bounded-cache.ts";
import { EVERY_MONTH, FIRST_DAY, LAST_DAY, type LocalPattern, nextLocal } from "./calendar-walk.ts";
import { dayNumber, daysInMonth, SECONDS_PER_DAY } from "./civil-date.ts";
import { type DayRule, dayRule } from "./day-rule.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import { ListedTimes } from "./time-of-day.ts";

/**
 * The `calendar` of a schedule, as users write it: times, then every day, or days of the week, or days of the month
 * (negative from the end; a month that lacks the day is skipped), from `start_day` to `end_day`, both inclusive.
 * Days and times written twice count once; an empty list or null is the same as no list.
 */
interface Calendar {
  readonly times: readonly number[];
  readonly days_of_week: readonly number[];
  readonly days_of_month: readonly number[];
  readonly start_day: number;
  readonly end_day: number;
}

/**
 * Compiles the value of the column `calendar`.
 * @throws InvalidInput on `calendar`, `calendar.times` and so on, all faults at once
 */
export function calendarPattern(value: unknown): LocalPattern {
  const text = JSON.stringify(value) ?? "";
  const make = () => compile(value);
  return text.length > LONGEST_REMEMBERED ? make() : patterns.get(text, make);
}

const patterns = new BoundedCache<string, LocalPattern>(5_000);
const LONGEST_REMEMBERED = 1_000;
const MOST_TIMES = 1_440;
const MOST_DAYS = 100;
const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const KEYS = ["times", "days_of_week", "days_of_month", "start_day", "end_day"];

function compile(value: unknown): LocalPattern {
  const calendar = readCalendar(value);
  const pattern: LocalPattern = {
    months: EVERY_MONTH,
    days: calendarDays(calendar),
    times: new ListedTimes(calendar.times),
    first_day: calendar.start_day,
    last_day: calendar.end_day,
  };
  if (nextLocal(pattern, calendar.start_day * SECONDS_PER_DAY) === Number.POSITIVE_INFINITY) {
    throw new InvalidInput([
      { field: "calendar", message: "never happens: no such day between start_day and end_day" },
    ]);
  }
  return pattern;
}

function calendarDays({ days_of_week, days_of_month }: Calendar): DayRule {
  if (days_of_week.length > 0) return dayRule((_day, _length, weekday) => days_of_week.includes(weekday));
  if (days_of_month.length === 0) return dayRule(() => true);
  return dayRule((day, length) => days_of_month.includes(day) || days_of_month.includes(day - length - 1));
}

function readCalendar(value: unknown): Calendar {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidInput([{ field: "calendar", message: 'must be an object such as {"times": ["22:00:00"]}' }]);
  }
  const fields = value as Record<string, unknown>;
  const faults: FieldError[] = [];
  const fault = (key: string, message: string) => faults.push({ field: `calendar.${key}`, message });

  for (const key of Object.keys(fields)) {
    if (!KEYS.includes(key)) fault(key.slice(0, 40), `is unknown; there are ${KEYS.join(", ")}`);
  }
  const times = readList(fields.times, MOST_TIMES, parseTimeOfDay, 'a time such as "22:00:00"', (m) =>
    fault("times", m),
  );
  if (times.length === 0 && !faults.some(({ field }) => field === "calendar.times")) {
    fault("times", 'needs at least one time, such as "22:00:00"');
  }
  const days_of_week = readList(fields.days_of_week, MOST_DAYS, parseWeekday, "a day such as monday", (m) =>
    fault("days_of_week", m),
  );
  const days_of_month = readList(
    fields.days_of_month,
    MOST_DAYS,
    parseDayOfMonth,
    "1 to 31, or -1 (last) to -31",
    (m) => fault("days_of_month", m),
  );
  if (days_of_week.length > 0 && days_of_month.length > 0) {
    fault("days_of_month", "cannot stand beside days_of_week; kind cron can combine them");
  }
  const start_day = readDay(fields.start_day, FIRST_DAY, (m) => fault("start_day", m));
  const end_day = readDay(fields.end_day, LAST_DAY, (m) => fault("end_day", m));
  if (end_day < start_day) fault("end_day", "lies before start_day");
  if (faults.length > 0) throw new InvalidInput(faults);
  return { times, days_of_week, days_of_month, start_day, end_day };
}

function readList(
  value: unknown,
  most: number,
  parse: (entry: unknown) => number | null,
  wanted: string,
  fault: (message: string) => void,
): number[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    fault(`must be a list; each entry is ${wanted}`);
    return [];
  }
  if (value.length > most) {
    fault(`has more than ${most} entries`);
    return [];
  }
  return value.flatMap((entry) => {
    const parsed = parse(entry);
    if (parsed === null) fault(`${(JSON.stringify(entry) ?? "null").slice(0, 40)} is not ${wanted}`);
    return parsed ?? [];
  });
}

/** `22:00:00` or `22:00` in seconds since midnight; null where it is neither. */
export function parseTimeOfDay(value: unknown): number | null {
  const match = typeof value === "string" ? /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(value) : null;
  return match === null ? null : Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3] ?? 0);
}

function parseWeekday(value: unknown): number | null {
  const weekday = typeof value === "string" ? WEEKDAYS.indexOf(value.toLowerCase()) : -1;
  return weekday === -1 ? null : weekday;
}

function parseDayOfMonth(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) && value !== 0 && Math.abs(value) <= 31 ? value : null;
}

function readDay(value: unknown, absent: number, fault: (message: string) => void): number {
  if (value === undefined || value === null) return absent;
  const match = typeof value === "string" ? /^(\d{4})-(\d\d)-(\d\d)$/.exec(value) : null;
  const [year, month, day] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3])];
  if (match === null || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) {
    fault('must be a date such as "2026-02-10"');
    return absent;
  }
  if (year < 1970) {
    fault("must not lie before 1970");
    return absent;
  }
  return dayNumber(year, month, day);
}
