import type { Instant } from "./instant.ts";
import type { Overlap } from "./policy.ts";

/** A run that is held back, with the data its condition is a function of. */
export interface WaitingRun {
  readonly id: string;
  readonly status_reason: string;
  /** Nominal instant of the occurrence before this one; null: there was none, the schedule's creation counts. */
  readonly previous_at: Instant | null;
}

export interface WaitingSchedule {
  readonly overlap: Overlap;
  readonly created_at: Instant;
  /** An exclusive run of the schedule is pending, dispatched or running. */
  readonly busy: boolean;
  /** For each dependency, when it last completed; null: never. */
  readonly completed_at: readonly (Instant | null)[];
  /** Oldest first. */
  readonly waiting: readonly WaitingRun[];
}

export interface ReleaseDecision {
  readonly release: readonly string[];
  /** No longer blocked, but another run of the schedule is in the way. */
  readonly buffer: readonly string[];
  /** Given up in favour of a newer one. */
  readonly supersede: readonly string[];
  /** Ask for the run in flight to be cancelled: a newer one waits for its end. */
  readonly cancel_current: boolean;
}

/**
 * Which waiting runs of a schedule may go now. Every condition is a function of the data, so that asking late, twice or
 * from two instances changes nothing.
 */
export function decideRelease(schedule: WaitingSchedule): ReleaseDecision {
  const release: string[] = [];
  const buffer: string[] = [];
  const free = schedule.waiting.filter((run) => {
    if (run.status_reason === "breaker_open") return false;
    return run.status_reason !== "blocked" || isUnblocked(schedule, run);
  });
  if (schedule.overlap === "allow")
    return { release: free.map((run) => run.id), buffer, supersede: [], cancel_current: false };

  const latestOnly = schedule.overlap === "cancel_previous";
  const supersede = latestOnly ? free.slice(0, -1).map((run) => run.id) : [];
  const queue = latestOnly ? free.slice(-1) : free;
  for (const run of queue) {
    if (!schedule.busy && release.length === 0) release.push(run.id);
    else if (run.status_reason === "blocked") buffer.push(run.id);
  }
  return { release, buffer, supersede, cancel_current: latestOnly && schedule.busy && queue.length > 0 };
}

function isUnblocked(schedule: WaitingSchedule, run: WaitingRun): boolean {
  const since = run.previous_at ?? schedule.created_at;
  return schedule.completed_at.every((completed) => completed !== null && completed > since);
}
