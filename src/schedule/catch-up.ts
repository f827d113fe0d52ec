import type { Instant } from "./instant.ts";
import { countOccurrences, nextOccurrence, previousOccurrence, type Recurrence } from "./recurrence.ts";

/** Which of the occurrences that an outage left behind still run: the last one, each of them, or none. */
export type CatchUp = "latest" | "all" | "skip";

/** A range of occurrences that will not run; one `skipped: missed` row records it. */
export interface Missed {
  readonly first: Instant;
  readonly last: Instant;
  /** Saturates at 10,000. */
  readonly count: number;
}

export interface DueDecision {
  /** Oldest first. */
  readonly runs: Instant[];
  readonly missed: Missed | null;
  /** When the schedule is due next; still in the past where `limit` left some over, null when it has finished. */
  readonly next: Instant | null;
  /** The latest nominal instant dealt with, run or missed. */
  readonly last: Instant;
}

export interface DueInput {
  readonly recurrence: Recurrence;
  /** The schedule's `next_run_at`: an occurrence itself, even where someone set it by hand off the grid. */
  readonly due: Instant;
  /** When the schedule was last edited or resumed: occurrences up to then, but for `due`, belong to the past timing. */
  readonly plan_from: Instant | null;
  readonly now: Instant;
  readonly catchup: CatchUp;
  readonly catchup_window_seconds: number;
  /** null: no end. */
  readonly max_runs_left: number | null;
  /** Most runs to return at once, at least 1. */
  readonly limit: number;
}

/** Counting further would tell nobody more. */
const MISSED_COUNT_LIMIT = 10_000;
/** `skip` means "do not catch up", not "be punctual to the millisecond": a poll, a restart or a busy broker is no outage. */
const SKIP_TOLERANCE_MS = 60_000;

/**
 * What to do about a schedule that is due. The occurrences considered are `due`, then those of the recurrence after the
 * later of `due` and `plan_from`, up to and including `now`.
 *
 * - `latest`: the latest runs if it is at most the window late; all before it are missed.
 * - `all`: each at most the window late runs, oldest first and at most `limit` at once; older ones are missed.
 * - `skip`: the latest runs if it is at most 60 s late; all before it are missed.
 *
 * Time and memory do not grow with the length of the outage, only with `limit`.
 * @throws RangeError when `due` lies after `now`, or `limit` is less than 1
 */
export function decideDue(input: DueInput): DueDecision {
  const { recurrence, due, now, max_runs_left, limit } = input;
  if (!(due <= now)) throw new RangeError("decideDue is for schedules whose time has come: due must not be after now");
  if (!(limit >= 1)) throw new RangeError("limit must be at least 1");
  if (max_runs_left !== null && max_runs_left <= 0) return { runs: [], missed: null, next: null, last: due };

  const grid: Grid = { recurrence, due, base: Math.max(due, input.plan_from ?? due) };
  const latest = latestBefore(grid, now + 1) as Instant;
  const tolerance = input.catchup === "skip" ? SKIP_TOLERANCE_MS : input.catchup_window_seconds * 1000;

  if (now - latest > tolerance) {
    return { runs: [], missed: missedBefore(grid, now + 1), next: occurrenceAfter(grid, now), last: latest };
  }
  if (input.catchup === "all") return decideAll(grid, input, now - tolerance);
  return {
    runs: [latest],
    missed: missedBefore(grid, latest),
    next: max_runs_left === 1 ? null : occurrenceAfter(grid, now),
    last: latest,
  };
}

/** `due`, and the recurrence's occurrences after `base`: together what is considered. */
interface Grid {
  readonly recurrence: Recurrence;
  readonly due: Instant;
  readonly base: Instant;
}

/** Runs everything from `oldest` on; the caller knows that there is something. */
function decideAll(grid: Grid, input: DueInput, oldest: Instant): DueDecision {
  const first = grid.due >= oldest ? grid.due : (occurrenceAfter(grid, oldest - 1) as Instant);
  const most = Math.min(input.limit, input.max_runs_left ?? input.limit);
  const runs = [first];
  let last = first;
  let next = occurrenceAfter(grid, first);
  while (next !== null && next <= input.now && runs.length < most) {
    runs.push(next);
    last = next;
    next = nextOccurrence(grid.recurrence, next);
  }
  const finished = input.max_runs_left !== null && runs.length >= input.max_runs_left;
  return { runs, missed: missedBefore(grid, first), next: finished ? null : next, last };
}

function occurrenceAfter(grid: Grid, instant: Instant): Instant | null {
  return nextOccurrence(grid.recurrence, Math.max(grid.base, instant));
}

function latestBefore(grid: Grid, instant: Instant): Instant | null {
  const previous = previousOccurrence(grid.recurrence, instant);
  if (previous !== null && previous > grid.base) return previous;
  return grid.due < instant ? grid.due : null;
}

function missedBefore(grid: Grid, instant: Instant): Missed | null {
  const last = latestBefore(grid, instant);
  if (last === null) return null;
  const after_due = countOccurrences(grid.recurrence, grid.base, last, MISSED_COUNT_LIMIT);
  return { first: grid.due, last, count: Math.min(1 + after_due, MISSED_COUNT_LIMIT) };
}
