import { calendarPattern, parseTimeOfDay } from "./calendar.ts";
import { EVERY_MONTH, FIRST_DAY, LAST_DAY } from "./calendar-walk.ts";
import { cronPattern } from "./cron-expression.ts";
import { dayRule } from "./day-rule.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import type { Instant } from "./instant.ts";
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

/** Ten years; whoever means longer means a date. */
const LONGEST_INTERVAL_SECONDS = 315_576_000;

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

  const compile = COMPILERS[timing.kind] as ((timing: Timing, bounds: Bounds) => Recurrence) | undefined;
  if (compile === undefined) {
    faults.push({ field: "kind", message: `must be one of ${Object.keys(COMPILERS).join(", ")}` });
  }
  const recurrence = collect(faults, () => compile?.(timing, { starts_at, ends_at }));
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

interface Bounds {
  readonly starts_at: Instant;
  readonly ends_at: Instant;
}

const NO_BOUNDS: Bounds = { starts_at: Number.NEGATIVE_INFINITY, ends_at: Number.POSITIVE_INFINITY };
const EVERY_DAY = dayRule(() => true);

const COMPILERS: Readonly<Record<Kind, (timing: Timing, bounds: Bounds) => Recurrence>> = {
  cron: compileCron,
  interval: compileInterval,
  once: compileOnce,
  calendar: compileCalendar,
  event: (_timing, bounds) => ({ type: "never", ...bounds }),
  manual: (_timing, bounds) => ({ type: "never", ...bounds }),
};

function compileCron(timing: Timing, bounds: Bounds): Recurrence {
  const faults: FieldError[] = [];
  const zone = collect(faults, () => timeZone(timing.timezone));
  const policy = collect(faults, () => dstPolicy(timing));
  const cron = collect(faults, () => {
    const expression: unknown = timing.cron_expression;
    if (typeof expression !== "string") throw required("cron_expression", "cron");
    return cronPattern(expression, timing.name);
  });
  if (zone === undefined || policy === undefined || cron === undefined) throw new InvalidInput(faults);
  // An expression that matches all 24 hours speaks of minutes within the hour: it follows the hours as they really pass,
  // unless its owner says otherwise by naming a fold policy.
  const elapsed = cron.every_hour && timing.dst_fold === null;
  return { type: "local", pattern: cron.pattern, zone, policy: elapsed ? EVERY_REAL_HOUR : policy, ...bounds };
}

const EVERY_REAL_HOUR: DstPolicy = { gap: "skip", fold: "both" };

function compileCalendar(timing: Timing, bounds: Bounds): Recurrence {
  const faults: FieldError[] = [];
  const zone = collect(faults, () => timeZone(timing.timezone));
  const policy = collect(faults, () => dstPolicy(timing));
  const pattern = collect(faults, () => calendarPattern(timing.calendar));
  if (zone === undefined || policy === undefined || pattern === undefined) throw new InvalidInput(faults);
  return { type: "local", pattern, zone, policy, ...bounds };
}

function compileInterval(timing: Timing, bounds: Bounds): Recurrence {
  const seconds: unknown = timing.interval_seconds;
  if (seconds === null || seconds === undefined) throw required("interval_seconds", "interval");
  const faults: FieldError[] = [];
  if (typeof seconds !== "number" || !Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_INTERVAL_SECONDS) {
    const message = `must be a whole number of seconds from 1 to ${LONGEST_INTERVAL_SECONDS} (ten years)`;
    faults.push({ field: "interval_seconds", message });
  }
  const explicit = timing.interval_anchor ?? (Number.isFinite(bounds.starts_at) ? bounds.starts_at : null);
  if (explicit !== null && !Number.isFinite(explicit)) {
    faults.push({ field: "interval_anchor", message: "must be an instant, not infinity" });
  }
  if (faults.length > 0) throw new InvalidInput(faults);
  const period = (seconds as number) * 1000;
  // A schedule must not run the moment someone saves it; an anchor someone wrote down is an occurrence.
  return { type: "interval", first: explicit ?? timing.created_at + period, period, ...bounds };
}

function compileOnce(timing: Timing, bounds: Bounds): Recurrence {
  const at = timing.run_at ?? null;
  if (at === null) throw required("run_at", "once");
  if (!Number.isFinite(at)) throw fault("run_at", "must be an instant, not infinity");
  if (at < bounds.starts_at || at > bounds.ends_at) {
    throw fault("run_at", "lies outside starts_at to ends_at, so it would never come");
  }
  return { type: "once", at, ...bounds };
}

function dstPolicy(timing: Timing): DstPolicy {
  const faults: FieldError[] = [];
  if (!["next_valid", "skip"].includes(timing.dst_gap)) {
    faults.push({ field: "dst_gap", message: "must be next_valid or skip" });
  }
  if (!["first", "second", "both", null].includes(timing.dst_fold)) {
    faults.push({ field: "dst_fold", message: "must be first, second or both, or null for the default" });
  }
  if (faults.length > 0) throw new InvalidInput(faults);
  return { gap: timing.dst_gap, fold: timing.dst_fold ?? "first" };
}

function readBound(value: Instant | null, absent: Instant, field: string, faults: FieldError[]): Instant {
  const bound: unknown = value ?? absent;
  if (typeof bound === "number" && !Number.isNaN(bound)) return bound;
  faults.push({ field, message: "must be an instant" });
  return absent;
}

/** Runs one check; its faults join the others, so that a user learns all of them at once. */
function collect<Value>(faults: FieldError[], check: () => Value): Value | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    faults.push(...error.errors);
    return undefined;
  }
}

function required(field: string, kind: Kind): InvalidInput {
  return fault(field, `is required for kind ${kind}`);
}

function fault(field: string, message: string): InvalidInput {
  return new InvalidInput([{ field, message }]);
}
