import type { LocalPattern } from "./calendar-walk.ts";
import type { Instant } from "./instant.ts";
import type { Zone } from "./time-zone.ts";
import { countInZone, type DstPolicy, dstEffectAt, nextInZone, previousInZone } from "./wall-clock.ts";

/**
 * When a schedule is due, compiled: made by `compileRecurrence`, opaque to everyone else. Immutable, and free of clock
 * and I/O, so it may be kept and shared.
 */
export type Recurrence = Never | Once | Interval | Local;

interface Bounds {
  /** Both inclusive; -Infinity and Infinity where the schedule has none. */
  readonly starts_at: Instant;
  readonly ends_at: Instant;
}
/** Due only when something happens: kinds `event` and `manual`. */
interface Never extends Bounds {
  readonly type: "never";
}
interface Once extends Bounds {
  readonly type: "once";
  readonly at: Instant;
}
/** Every `period` milliseconds of elapsed time, at `first`, `first + period`, and so on. */
interface Interval extends Bounds {
  readonly type: "interval";
  readonly first: Instant;
  readonly period: number;
}
/** Times of day on the wall clock of a zone: kinds `cron` and `calendar`. */
interface Local extends Bounds {
  readonly type: "local";
  readonly pattern: LocalPattern;
  readonly zone: Zone;
  readonly policy: DstPolicy;
}

/** 1970-01-01 to the end of 9999: the years that four digits, Postgres and JavaScript agree about. Nothing is due outside. */
export const EARLIEST: Instant = 0;
export const LATEST: Instant = 253_402_300_799_999;

/**
 * The first occurrence strictly after `after`, or null where there is none. Bounded: an expression whose next occurrence
 * is decades away costs microseconds, not a scan.
 * @param after Unix milliseconds; -Infinity and Infinity are allowed
 * @throws RangeError when `after` is NaN, which would otherwise pass for "finished"
 */
export function nextOccurrence(recurrence: Recurrence, after: Instant): Instant | null {
  const from = Math.max(nextMillisecond(after), recurrence.starts_at, EARLIEST);
  if (from > recurrence.ends_at || from > LATEST) return null;
  const next = firstAtOrAfter(recurrence, from);
  return next <= recurrence.ends_at && next <= LATEST ? next : null;
}

/**
 * The last occurrence strictly before `before`, or null where there is none.
 * @param before Unix milliseconds; -Infinity and Infinity are allowed
 * @throws RangeError when `before` is NaN
 */
export function previousOccurrence(recurrence: Recurrence, before: Instant): Instant | null {
  const until = Math.min(previousMillisecond(before), recurrence.ends_at, LATEST);
  if (until < recurrence.starts_at || until < EARLIEST) return null;
  const previous = lastAtOrBefore(recurrence, until);
  return previous >= recurrence.starts_at && previous >= EARLIEST ? previous : null;
}

/**
 * How many occurrences lie after `after`, up to and including `until`; at most `limit`. It computes where
 * `nextOccurrence` would have to step, so that a year's outage of 10,000 schedules is counted in milliseconds.
 */
export function countOccurrences(recurrence: Recurrence, after: Instant, until: Instant, limit: number): number {
  const from = Math.max(nextMillisecond(after), recurrence.starts_at, EARLIEST);
  const to = Math.min(Math.floor(until), recurrence.ends_at, LATEST);
  if (from > to) return 0;
  switch (recurrence.type) {
    case "never":
      return 0;
    case "once":
      return recurrence.at >= from && recurrence.at <= to ? 1 : 0;
    case "interval": {
      const first = firstAtOrAfter(recurrence, from);
      return first > to ? 0 : Math.min(limit, Math.floor((to - first) / recurrence.period) + 1);
    }
    case "local": {
      const { pattern, zone, policy } = recurrence;
      return countInZone(pattern, zone, policy, Math.ceil(from / 1000), Math.floor(to / 1000) + 1, limit);
    }
  }
}

/**
 * How a clock change touches the occurrence at `occurrence`: `gap`, it stands for local times that did not exist that day;
 * `fold`, its local time exists twice; null, not at all.
 */
export function dstEffect(recurrence: Recurrence, occurrence: Instant): "gap" | "fold" | null {
  if (recurrence.type !== "local") return null;
  return dstEffectAt(recurrence.pattern, recurrence.zone, recurrence.policy, Math.floor(occurrence / 1000));
}

function firstAtOrAfter(recurrence: Recurrence, from: Instant): number {
  switch (recurrence.type) {
    case "never":
      return Number.POSITIVE_INFINITY;
    case "once":
      return recurrence.at >= from ? recurrence.at : Number.POSITIVE_INFINITY;
    case "interval": {
      const { first, period } = recurrence;
      return from <= first ? first : first + Math.ceil((from - first) / period) * period;
    }
    case "local": {
      const { pattern, zone, policy } = recurrence;
      return nextInZone(pattern, zone, policy, Math.ceil(from / 1000)) * 1000;
    }
  }
}

function lastAtOrBefore(recurrence: Recurrence, until: Instant): number {
  switch (recurrence.type) {
    case "never":
      return Number.NEGATIVE_INFINITY;
    case "once":
      return recurrence.at <= until ? recurrence.at : Number.NEGATIVE_INFINITY;
    case "interval": {
      const { first, period } = recurrence;
      return until < first ? Number.NEGATIVE_INFINITY : first + Math.floor((until - first) / period) * period;
    }
    case "local": {
      const { pattern, zone, policy } = recurrence;
      return previousInZone(pattern, zone, policy, Math.floor(until / 1000)) * 1000;
    }
  }
}

function nextMillisecond(instant: Instant): Instant {
  if (Number.isNaN(instant)) throw new RangeError("an instant is a number of milliseconds, not NaN");
  return Math.floor(instant) + 1;
}

function previousMillisecond(instant: Instant): Instant {
  if (Number.isNaN(instant)) throw new RangeError("an instant is a number of milliseconds, not NaN");
  return Math.ceil(instant) - 1;
}
