import { parseTimeOfDay } from "./calendar.ts";
import { EVERY_MONTH, FIRST_DAY, LAST_DAY } from "./calendar-walk.ts";
import { dayRule } from "./day-rule.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import { collect } from "./faults.ts";
import type { Instant } from "./instant.ts";
import { type Bounds, COMPILERS } from "./kinds.ts";
import { nextOccurrence, type Recurrence } from "./recurrence.ts";
import { ListedTimes } from "./time-of-day.ts";
import { timeZone } from "./time-zone.ts";
import type { DstPolicy } from "./wall-clock.ts";

export type Kind = "cron" | "interval" | "once" | "calendar" | "event" | "manual";

/** The schedule's columns that say when it is due. Only those of its kind are read; the rest may hold anything. */
export interface Timing {
  /** Decides every `H` of a cron expression, so renaming a schedule moves them. */
  readonly name: string;
  readonly kind: Kind;
  readonly cron_expression: string | null;
  readonly interval_seconds: number | null;
  readonly interval_anchor: Instant | null;
  readonly run_at: Instant | null;
  /** `{times, days_of_week? | days_of_month?, start_day?, end_day?}`, as it stands in the jsonb column. */
  readonly calendar: unknown;
  readonly timezone: string;
  readonly dst_gap: "next_valid" | "skip";
  /** null: every real hour fires where all 24 hours match, else `first`. */
  readonly dst_fold: "first" | "second" | "both" | null;
  /** The first instant at which the schedule may be due, inclusive. */
  readonly starts_at: Instant | null;
  /** The last instant at which it may be due, inclusive. */
  readonly ends_at: Instant | null;
  readonly created_at: Instant;
}

/**
 * Checks a timing and makes of it what `nextOccurrence` can walk. Cheap enough to be called for every due schedule: what is
 * expensive, parsing, is remembered by text (bounded).
 * @throws InvalidInput naming the columns at fault (`cron_expression`, `timezone`, `calendar.times` …), all at once
 */
export function compileRecurrence(timing: Timing): Recurrence {
  const faults: FieldError[] = [];
  const starts_at = readBound(timing.starts_at, Number.NEGATIVE_INFINITY, "starts_at", faults);
  const ends_at = readBound(timing.ends_at, Number.POSITIVE_INFINITY, "ends_at", faults);
  if (ends_at < starts_at) faults.push({ field: "ends_at", message: "lies before starts_at" });

  if (!Object.hasOwn(COMPILERS, timing.kind)) {
    faults.push({ field: "kind", message: `must be one of ${Object.keys(COMPILERS).join(", ")}` });
    throw new InvalidInput(faults);
  }
  const recurrence = collect(faults, () => COMPILERS[timing.kind](timing, { starts_at, ends_at }));
  if (recurrence === undefined || faults.length > 0) throw new InvalidInput(faults);
  return recurrence;
}

/**
 * A local time of day as an instant: today's, if it is still ahead of `now`, else tomorrow's. In a fold the first of the
 * two counts; in a gap the first instant after it, or with `skip` the next day that has the time.
 * @param time `14:30:00` or `14:30`
 * @throws InvalidInput on `time` and `timezone`
 */
export function resolveLocalTime(
  time: string,
  timezone: string,
  now: Instant,
  dst_gap: Timing["dst_gap"] = "next_valid",
): Instant {
  const faults: FieldError[] = [];
  const zone = collect(faults, () => timeZone(timezone));
  const second = parseTimeOfDay(time);
  if (second === null) faults.push({ field: "time", message: 'must be a time of day such as "14:30:00"' });
  if (zone === undefined || second === null) throw new InvalidInput(faults);

  const pattern = {
    months: EVERY_MONTH,
    days: EVERY_DAY,
    times: new ListedTimes([second]),
    first_day: FIRST_DAY,
    last_day: LAST_DAY,
  };
  const policy: DstPolicy = { gap: dst_gap, fold: "first" };
  const found = nextOccurrence({ type: "local", pattern, zone, policy, ...NO_BOUNDS }, now);
  if (found === null) throw new RangeError("now lies outside the years 1970 to 9999");
  return found;
}

const NO_BOUNDS: Bounds = { starts_at: Number.NEGATIVE_INFINITY, ends_at: Number.POSITIVE_INFINITY };
const EVERY_DAY = dayRule(() => true);

function readBound(value: Instant | null, absent: Instant, field: string, faults: FieldError[]): Instant {
  const bound: unknown = value ?? absent;
  if (typeof bound === "number" && !Number.isNaN(bound)) return bound;
  faults.push({ field, message: "must be an instant" });
  return absent;
}
