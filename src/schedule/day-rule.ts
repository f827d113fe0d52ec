/**
 * Which days of a month are wanted, for every shape a month can have. A month's shape is its length and the weekday of
 * its first day: 28 shapes in all, and every rule of cron and of calendars (days of the month, from its end, weekdays,
 * nth and last weekdays) depends on nothing else. One table of 28 bit sets therefore answers a whole month at once.
 */
export type DayRule = Int32Array;

/** The index of a month's shape. `first_weekday`: 0 is Sunday. */
export function monthShape(length: number, first_weekday: number): number {
  return (length - 28) * 7 + first_weekday;
}

/** Tabulates `wanted(day, length, weekday)`; bit `day - 1` of a month's set is that day. */
export function dayRule(wanted: (day: number, length: number, weekday: number) => boolean): DayRule {
  const rule = new Int32Array(28);
  for (let length = 28; length <= 31; length++) {
    for (let first_weekday = 0; first_weekday < 7; first_weekday++) {
      let days = 0;
      for (let day = 1; day <= length; day++) {
        if (wanted(day, length, (first_weekday + day - 1) % 7)) days |= 1 << (day - 1);
      }
      rule[monthShape(length, first_weekday)] = days;
    }
  }
  return rule;
}

const LENGTHS = [[31], [28, 29], [31], [30], [31], [30], [31], [31], [30], [31], [30], [31]] as const;

/**
 * Whether any of `months` (bit `month - 1`) ever has a wanted day. Exact, because in the 400 years of the Gregorian
 * cycle every month begins on every weekday in each of its lengths.
 */
export function canOccur(rule: DayRule, months: number): boolean {
  return LENGTHS.some(
    (lengths, index) =>
      (months & (1 << index)) !== 0 &&
      lengths.some((length) => [0, 1, 2, 3, 4, 5, 6].some((weekday) => rule[monthShape(length, weekday)] !== 0)),
  );
}
