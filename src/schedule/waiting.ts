import type { Instant } from "./instant.ts";
import type { Overlap } from "./policy.ts";
import type { RunState } from "./run-transitions.ts";

/** A run that is held back, with the data its condition is a function of. */
export interface WaitingRun {
  readonly id: string;
  readonly status_reason: string;
  /** It takes the schedule's one place; a run that was made while overlap was `allow` does not. */
  readonly exclusive: boolean;
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
 * from two instances changes nothing. A run held by a breaker keeps its place in the line: those behind it go on waiting,
 * so that a schedule's runs stay in order.
 */
export function decideRelease(schedule: WaitingSchedule): ReleaseDecision {
  const free = schedule.waiting.filter((run) => run.status_reason !== "breaker_open" && isUnblocked(schedule, run));
  const release = free.filter((run) => !run.exclusive).map((run) => run.id);
  const queue = free.filter((run) => run.exclusive);
  const held = schedule.waiting.filter((run) => run.status_reason === "breaker_open" && run.exclusive);

  const line = [...queue, ...held].map((run) => run.id).sort();
  const newest = schedule.overlap === "cancel_previous" ? line.at(-1) : undefined;
  const supersede = new Set(newest === undefined ? [] : line.slice(0, -1));
  let taken = schedule.busy || held.some((run) => !supersede.has(run.id));
  const buffer: string[] = [];
  for (const run of queue) {
    if (supersede.has(run.id)) continue;
    if (!taken) release.push(run.id);
    else if (run.status_reason === "blocked") buffer.push(run.id);
    taken = true;
  }
  return { release, buffer, supersede: [...supersede], cancel_current: newest !== undefined && schedule.busy };
}

function isUnblocked(schedule: WaitingSchedule, run: WaitingRun): boolean {
  if (run.status_reason !== "blocked") return true;
  const since = run.previous_at ?? schedule.created_at;
  return schedule.completed_at.every((completed) => completed !== null && completed > since);
}

/** What waited may be dispatched from now on; its time to start counts from now as well. */
export function letGo(run: RunState, now: Instant): RunState {
  const available_at = Math.max(run.available_at, now);
  return {
    ...run,
    status: "pending",
    status_reason: null,
    available_at,
    deadline_at: available_at + run.policy.start_deadline_seconds * 1_000,
  };
}
