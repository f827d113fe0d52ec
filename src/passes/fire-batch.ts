import type { Advance, ClaimedSchedule, DueSchedule, NewOccurrenceRun } from "../database/due-schedules.ts";
import type { Instant } from "../schedule/instant.ts";
import type { DueOutcome, Occurrence } from "../schedule/occurrences.ts";
import type { Publication } from "./trigger-events.ts";

/** One run as fire is about to insert it, with where it comes from. */
export interface FiringRun {
  readonly schedule: ClaimedSchedule;
  readonly occurrence: Occurrence;
  readonly row: NewOccurrenceRun;
}

/** What becomes of one due schedule. */
export interface Firing {
  readonly schedule: ClaimedSchedule;
  readonly outcome: DueOutcome;
  readonly runs: readonly FiringRun[];
}

/** @param direct the broker is up and nobody has drained the scheduler: what nothing else holds back goes out at once */
export function toFiring(schedule: ClaimedSchedule, outcome: DueOutcome, direct: boolean): Firing {
  const runs = outcome.occurrences.map((occurrence) => ({
    schedule,
    occurrence,
    row: toRow(schedule, occurrence, direct),
  }));
  return { schedule, outcome, runs };
}

const REASONS = {
  ready: null,
  jittered: "jitter",
  buffered: "buffered",
  blocked: "blocked",
  overlap: "overlap",
  missed: "missed",
} as const;

function toRow(schedule: ClaimedSchedule, occurrence: Occurrence, direct: boolean): NewOccurrenceRun {
  return {
    id: occurrence.run_id,
    schedule_id: schedule.id,
    place: schedule.place,
    scheduled_for: occurrence.scheduled_for,
    status: statusOf(schedule, occurrence, direct),
    status_reason: REASONS[occurrence.outcome],
    delay_ms: occurrence.delay_ms,
    result: occurrence.result,
  };
}

function statusOf(schedule: ClaimedSchedule, { outcome }: Occurrence, direct: boolean) {
  if (outcome === "overlap" || outcome === "missed") return "skipped";
  if (outcome === "buffered" || outcome === "blocked") return "waiting";
  const free = direct && schedule.pool_open && schedule.resolved.breaker_key === undefined && !schedule.targets?.length;
  return outcome === "ready" && free ? "dispatched" : "pending";
}

/** @param entry answers the entry of the agenda that a schedule goes into */
export function toAdvance({ schedule, outcome }: Firing, entry: (at: Instant | null) => string | null): Advance {
  const finished = schedule.max_runs !== null && schedule.run_count + outcome.started >= schedule.max_runs;
  const next_run_at = finished ? null : outcome.next_run_at;
  return {
    id: schedule.id,
    place: schedule.place,
    next_run_at,
    entry: entry(next_run_at),
    last_occurrence_at: outcome.last_occurrence_at,
    last_run_id: outcome.last_run_id,
    runs: outcome.started,
  };
}

/**
 * The run as its event needs it: what was inserted at `now`, without reading it back.
 * @param ahead what of its event has been made already
 */
export function toPublication(
  schedule: DueSchedule,
  occurrence: Occurrence,
  now: Instant,
  ahead?: Pick<Publication, "traceparent" | "body">,
): Publication {
  const available_at = occurrence.scheduled_for + occurrence.delay_ms;
  return {
    id: occurrence.run_id,
    attempt: 1,
    schedule_id: schedule.id,
    schedule_name: schedule.name,
    action: schedule.action,
    action_version: schedule.action_version,
    trigger_type: "scheduled",
    triggered_by: schedule.name,
    scheduled_for: occurrence.scheduled_for,
    deadline_at: Math.max(available_at, now) + schedule.resolved.start_deadline_seconds * 1_000,
    target: null,
    priority: schedule.resolved.priority,
    policy: schedule.resolved,
    payload: schedule.payload,
    traceparent: ahead?.traceparent ?? null,
    body: ahead?.body,
  };
}
