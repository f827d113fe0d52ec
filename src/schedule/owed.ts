import type { Missed } from "./catch-up.ts";
import { InvalidInput } from "./errors.ts";
import { fromIso, type Instant } from "./instant.ts";
import { countOccurrences, previousOccurrence, type Recurrence } from "./recurrence.ts";
import { compileRecurrence, type Timing } from "./timing.ts";

/** The timing that an edit put an end to, as the trigger on edits writes it: instants are text. */
export type Superseded = { readonly [Key in keyof Timing]: Timing[Key] | string } & {
  /** Its `plan_from`: what was planned by it lies after this, but for the claim itself. */
  readonly from: string;
  readonly until: string;
};

export interface OwedFacts {
  readonly next_run_at: Instant | null;
  readonly plan_from: Instant | null;
  readonly updated_at: Instant;
  readonly superseded: Superseded | null;
  readonly now: Instant;
}

/** Occurrences that have come due and were not fired yet when somebody edited the schedule, or reloaded it. */
export interface Owed {
  readonly all: Missed;
  /** What fire is to begin with, should they still run. */
  readonly due: Instant;
  /** What lies before `due`; fire will not see it. */
  readonly before_due: Missed | null;
}

const COUNT_LIMIT = 10_000;

/**
 * What is owed, or null. As long as the timing is what it was, fire catches up with all of it. Where an edit changed the
 * timing, fire could no longer say which instants there were: the last one stays due, those before it are missed.
 *
 * @param recurrence the schedule's own; null where its timing is not valid
 */
export function owedOccurrences(schedule: OwedFacts, recurrence: Recurrence | null): Owed | null {
  const { next_run_at: first, superseded } = schedule;
  // The edit's instant too, because planning may run by a clock that is behind the editor's.
  const now = Math.max(schedule.now, schedule.updated_at);
  if (first === null || !(first <= now)) return null;
  if (superseded === null) {
    return { all: range(recurrence, first, schedule.plan_from, now), due: first, before_due: null };
  }
  const past = pastRecurrence(superseded);
  const from = readInstant(superseded.from);
  const all = range(past, first, from, readInstant(superseded.until) ?? now);
  if (all.last === first) return { all, due: first, before_due: null };
  return { all, due: all.last, before_due: range(past, first, from, all.last - 1) };
}

/** `first`, which may be off the grid, and what the recurrence has after it and after `from`, up to and including `until`. */
function range(recurrence: Recurrence | null, first: Instant, from: Instant | null, until: Instant): Missed {
  const after = Math.max(first, from ?? first);
  const last = recurrence === null ? null : previousOccurrence(recurrence, until + 1);
  if (recurrence === null || last === null || last <= after) return { first, last: first, count: 1 };
  return { first, last, count: Math.min(1 + countOccurrences(recurrence, after, last, COUNT_LIMIT), COUNT_LIMIT) };
}

function pastRecurrence(superseded: Superseded): Recurrence | null {
  const timing = {
    ...superseded,
    interval_anchor: readInstant(superseded.interval_anchor),
    run_at: readInstant(superseded.run_at),
    starts_at: readInstant(superseded.starts_at),
    ends_at: readInstant(superseded.ends_at),
    created_at: readInstant(superseded.created_at),
  };
  try {
    return compileRecurrence(timing as Timing);
  } catch (error) {
    // It was valid when it was planned; by other rules perhaps. Then only its first occurrence is known.
    if (error instanceof InvalidInput) return null;
    throw error;
  }
}

/** As Postgres writes an instant into jsonb. */
function readInstant(text: unknown): Instant | null {
  if (typeof text !== "string") return null;
  if (text === "infinity") return Number.POSITIVE_INFINITY;
  if (text === "-infinity") return Number.NEGATIVE_INFINITY;
  return fromIso(text);
}
