/**
 * The proleptic Gregorian calendar as arithmetic on day numbers (days since 1970-01-01), after Howard Hinnant's
 * `days_from_civil`. Walking a calendar allocates nothing this way; `Date` would cost an object per step.
 * Valid for day numbers from 0 (1970) on.
 */

export const SECONDS_PER_DAY = 86_400;

const DAYS_PER_ERA = 146_097; // 400 years, after which the Gregorian calendar repeats
const EPOCH_SHIFT = 719_468; // from 0000-03-01, where an era begins, to 1970-01-01

/** The day number of a date, from 1970 on. */
export function dayNumber(year: number, month: number, day: number): number {
  const shifted_year = month <= 2 ? year - 1 : year;
  const era = (shifted_year / 400) | 0;
  const year_of_era = shifted_year - era * 400;
  const day_of_year = (((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) | 0) + day - 1;
  const day_of_era = year_of_era * 365 + ((year_of_era / 4) | 0) - ((year_of_era / 100) | 0) + day_of_year;
  return era * DAYS_PER_ERA + day_of_era - EPOCH_SHIFT;
}

/** Year, month and day of a day number, packed into one integer so that the hot path allocates nothing. */
export function packedDate(day_number: number): number {
  const shifted = day_number + EPOCH_SHIFT;
  const era = (shifted / DAYS_PER_ERA) | 0;
  const day_of_era = shifted - era * DAYS_PER_ERA;
  const leap_days = ((day_of_era / 1460) | 0) - ((day_of_era / 36_524) | 0) + ((day_of_era / 146_096) | 0);
  const year_of_era = ((day_of_era - leap_days) / 365) | 0;
  const day_of_year = day_of_era - (365 * year_of_era + ((year_of_era / 4) | 0) - ((year_of_era / 100) | 0));
  const shifted_month = ((5 * day_of_year + 2) / 153) | 0;
  const day = day_of_year - (((153 * shifted_month + 2) / 5) | 0) + 1;
  const month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  return (year << 9) | (month << 5) | day;
}

export const yearOf = (packed: number): number => packed >> 9;
export const monthOf = (packed: number): number => (packed >> 5) & 15;
export const dayOf = (packed: number): number => packed & 31;

export function isLeapYear(year: number): boolean {
  return (year & 3) === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** 28 to 31. */
export function daysInMonth(year: number, month: number): number {
  if (month === 2) return isLeapYear(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** 0 is Sunday, as in cron; 1970-01-01 was a Thursday. */
export function weekdayOf(day_number: number): number {
  return (day_number + 4) % 7;
}
