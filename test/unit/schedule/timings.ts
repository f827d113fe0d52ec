import type { Instant } from "../../../src/schedule/instant.ts";
import { nextOccurrence, previousOccurrence, type Recurrence } from "../../../src/schedule/recurrence.ts";
import { compileRecurrence, type Kind, type Timing } from "../../../src/schedule/timing.ts";

/** A timing of the given kind with the columns' defaults. */
export function timing(kind: Kind, columns: Partial<Timing> = {}): Timing {
  return {
    name: "Daily StratNinja Scout",
    kind,
    cron_expression: null,
    interval_seconds: null,
    interval_anchor: null,
    run_at: null,
    calendar: null,
    timezone: "UTC",
    dst_gap: "next_valid",
    dst_fold: null,
    starts_at: null,
    ends_at: null,
    created_at: at("2026-01-01T00:00:00Z"),
    ...columns,
  };
}

export function cron(cron_expression: string, columns: Partial<Timing> = {}): Recurrence {
  return compileRecurrence(timing("cron", { cron_expression, ...columns }));
}

export function interval(interval_seconds: number, columns: Partial<Timing> = {}): Recurrence {
  return compileRecurrence(timing("interval", { interval_seconds, ...columns }));
}

export function once(run_at: string, columns: Partial<Timing> = {}): Recurrence {
  return compileRecurrence(timing("once", { run_at: at(run_at), ...columns }));
}

export function calendar(value: unknown, columns: Partial<Timing> = {}): Recurrence {
  return compileRecurrence(timing("calendar", { calendar: value, ...columns }));
}

/** The instant of an ISO 8601 text with its offset. */
export function at(iso: string): Instant {
  const instant = Date.parse(iso);
  if (Number.isNaN(instant)) throw new Error(`not an instant: ${iso}`);
  return instant;
}

export function iso(instant: Instant | null): string | null {
  return instant === null ? null : new Date(instant).toISOString().replace(".000Z", "Z");
}

/** The next `count` occurrences after an instant, as text. */
export function upcoming(recurrence: Recurrence, after: string, count: number): string[] {
  const found: string[] = [];
  for (let next = nextOccurrence(recurrence, at(after)); next !== null && found.length < count; ) {
    found.push(iso(next) as string);
    next = nextOccurrence(recurrence, next);
  }
  return found;
}

/** Every occurrence in [from, until), found by walking forwards. */
export function forwards(recurrence: Recurrence, from: Instant, until: Instant): Instant[] {
  const found: Instant[] = [];
  for (let next = nextOccurrence(recurrence, from - 1); next !== null && next < until; ) {
    found.push(next);
    next = nextOccurrence(recurrence, next);
  }
  return found;
}

/** Every occurrence in [from, until), found by walking backwards, oldest first. */
export function backwards(recurrence: Recurrence, from: Instant, until: Instant): Instant[] {
  const found: Instant[] = [];
  for (let previous = previousOccurrence(recurrence, until); previous !== null && previous >= from; ) {
    found.push(previous);
    previous = previousOccurrence(recurrence, previous);
  }
  return found.reverse();
}

/** What some work takes of this process's processor time. The wall clock would measure what else the machine has to do. */
export function processorMs(work: () => void): number {
  const start = process.cpuUsage();
  work();
  return process.cpuUsage(start).user / 1_000;
}

/** A small seeded generator for tests that draw more than fast-check is made for. `TEST_SEED` replays a failure. */
export function seeded(offset = 0): (below: number) => number {
  let state = Math.imul(Number(process.env.TEST_SEED ?? 1) * 1_000 + offset, 0x9e3779b1) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
