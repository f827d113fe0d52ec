import { getTableColumns } from "drizzle-orm";
import { breakerKey } from "../schedule/breaker.ts";
import type { Instant } from "../schedule/instant.ts";
import type { ResolvedPolicy } from "../schedule/planning.ts";
import type { Policy, Priority } from "../schedule/policy.ts";
import type { Statement, Tx } from "./connection.ts";
import { unfinishedSchedules } from "./due-schedules.ts";
import { insertRuns, noteOccurrence, noteRun } from "./new-runs.ts";
import { tellSkipped } from "./run-events.ts";
import {
  type RunRow,
  type ScheduleRow,
  type Status,
  type StatusReason,
  schedules,
  type TriggerType,
} from "./schema.ts";

/** Why a schedule is to run now, outside its calendar. */
export interface ScheduleTrigger {
  readonly trigger_type: Exclude<TriggerType, "scheduled">;
  readonly triggered_by: string;
  /** undefined: the schedule's own. */
  readonly payload?: unknown;
  /** `payload` as Postgres prints it, where it comes from there. */
  readonly payload_text?: string | undefined;
  readonly priority?: Priority | null;
  readonly traceparent?: string | null;
  /** Computed for backfill; absent: a fresh one. */
  readonly run_id?: string;
  /** The nominal instant; absent: now. */
  readonly scheduled_for?: Instant;
  /** Instead of the schedule's. */
  readonly overlap?: Policy["overlap"];
  /** For dependency triggers: up to when completions have been used. */
  readonly occurrence_at?: Instant;
}

// Named one by one: a prepared "SELECT *" fails for as long as its connection lives once a migration adds a column.
const COLUMNS = Object.keys(getTableColumns(schedules)).join(", ");

const LOCK: Statement = {
  name: "lock_schedule",
  text: `SELECT ${COLUMNS}, payload::text AS payload_text FROM schedules WHERE id = $1 FOR NO KEY UPDATE`,
};

/** `payload_text`: the payload as it is to be copied, with long numbers as they are. */
export type LockedSchedule = ScheduleRow & { readonly payload_text: string };

export async function lockSchedule(tx: Tx, id: string): Promise<LockedSchedule | undefined> {
  const [schedule] = await tx.query<LockedSchedule>(LOCK, [id]);
  return schedule;
}

/**
 * Inserts a run of a planned schedule, overlap obeyed: it goes to the queue, waits, or is recorded as skipped. The lock on
 * the schedule's row, taken before the unfinished runs are read, is what keeps two triggers from both finding it free.
 * Answers null where a run with the computed id exists already.
 */
export async function insertScheduleRun(tx: Tx, scheduleId: string, trigger: ScheduleTrigger): Promise<RunRow | null> {
  const schedule = await lockSchedule(tx, scheduleId);
  if (schedule === undefined || schedule.resolved === null) return null;
  const resolved = schedule.resolved as ResolvedPolicy;
  const overlap = trigger.overlap ?? resolved.overlap;
  const policy = { ...resolved, overlap, priority: trigger.priority ?? resolved.priority };
  const unfinished = overlap === "allow" ? undefined : (await unfinishedSchedules(tx, [scheduleId])).get(scheduleId);
  const [status, status_reason] = place(overlap, unfinished);
  const { payload, payload_text } = trigger.payload === undefined ? schedule : trigger;
  const [run] = await insertRuns(tx, [
    {
      ...(trigger.run_id === undefined ? {} : { id: trigger.run_id }),
      schedule_id: schedule.id,
      schedule_name: schedule.name,
      action: schedule.action,
      action_version: schedule.action_version,
      payload,
      payload_text,
      targets: schedule.targets,
      trigger_type: trigger.trigger_type,
      triggered_by: trigger.triggered_by,
      scheduled_for: trigger.scheduled_for ?? null,
      policy,
      exclusive: overlap !== "allow",
      status,
      status_reason,
      breaker_key: schedule.targets?.length ? null : breakerKey(schedule.action, resolved.breaker, payload, null),
      traceparent: trigger.traceparent ?? null,
    },
  ]);
  if (run === undefined) return null;
  const counts = trigger.trigger_type === "event" || trigger.trigger_type === "dependency";
  if (status === "skipped") {
    // The completions are used up all the same, or the next look would skip another run for them.
    if (trigger.occurrence_at !== undefined) await noteOccurrence(tx, schedule.id, trigger.occurrence_at);
    await tellSkipped(tx, [run.id]);
  } else {
    await noteRun(tx, schedule.id, run.id, counts, trigger.occurrence_at ?? null);
  }
  return run;
}

function place(
  overlap: Policy["overlap"],
  unfinished: { readonly waiting: boolean } | undefined,
): [Status, StatusReason | null] {
  if (overlap === "allow" || unfinished === undefined) return ["pending", null];
  if (overlap === "skip" || (overlap === "buffer_one" && unfinished.waiting)) return ["skipped", "overlap"];
  return ["waiting", "buffered"];
}

const FIND: Statement = {
  name: "find_schedule",
  text: `
    SELECT id FROM schedules WHERE id = CASE WHEN $1 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN $1::uuid END
    UNION ALL SELECT id FROM schedules WHERE name = $1 LIMIT 1`,
};

/** The id of the schedule with this id or name. */
export async function findScheduleId(tx: Tx, idOrName: string): Promise<string | undefined> {
  const [row] = await tx.query<{ id: string }>(FIND, [idOrName]);
  return row?.id;
}
