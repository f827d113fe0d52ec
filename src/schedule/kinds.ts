import { calendarPattern } from "./calendar.ts";
import { cronPattern } from "./cron-expression.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import { collect, fault } from "./faults.ts";
import type { Instant } from "./instant.ts";
import { EARLIEST, LATEST, type Recurrence } from "./recurrence.ts";
import { timeZone } from "./time-zone.ts";
import type { Kind, Timing } from "./timing.ts";
import type { DstPolicy } from "./wall-clock.ts";

export interface Bounds {
  readonly starts_at: Instant;
  readonly ends_at: Instant;
}

/** How each kind makes a recurrence of its columns; each throws InvalidInput with all their faults. */
export const COMPILERS: Readonly<Record<Kind, (timing: Timing, bounds: Bounds) => Recurrence>> = {
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
  const elapsed = cron.every_hour && (timing.dst_fold ?? null) === null;
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

/** Ten years; whoever means longer means a date. */
const LONGEST_INTERVAL_SECONDS = 315_576_000;

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
  if (!(at >= EARLIEST && at <= LATEST)) throw fault("run_at", "must be an instant of the years 1970 to 9999");
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
  if (!["first", "second", "both", null].includes(timing.dst_fold ?? null)) {
    faults.push({ field: "dst_fold", message: "must be first, second or both, or null for the default" });
  }
  if (faults.length > 0) throw new InvalidInput(faults);
  return { gap: timing.dst_gap, fold: timing.dst_fold ?? "first" };
}

function required(field: string, kind: Kind): InvalidInput {
  return fault(field, `is required for kind ${kind}`);
}
