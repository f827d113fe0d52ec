import { z } from "zod";
import type { Instant } from "../schedule/instant.ts";
import { PRIORITY_NAMES, type Priority } from "../schedule/policy.ts";
import { runTraceparent } from "../schedule/run-id.ts";
import { answeredMoment, toIsoOrNull } from "./fields.ts";

export const RUN_STATUSES = [
  ...["waiting", "pending", "dispatched", "running"],
  ...["completed", "failed", "cancelled", "skipped"],
] as const;
export const TRIGGER_TYPES = ["scheduled", "manual", "event", "dependency", "backfill"] as const;

const moment = answeredMoment.nullable();
const text = z.string().nullable();
const count = z.int().nullable();

/** A run as it is answered: its columns under their own names. */
export const runAnswer = z
  .object({
    id: z.string(),
    schedule_id: text,
    schedule_name: text,
    parent_run_id: text,
    target: text,
    action: z.string(),
    action_version: z.int(),
    payload: z.unknown(),
    trigger_type: z.enum(TRIGGER_TYPES),
    triggered_by: text,
    scheduled_for: answeredMoment,
    priority: z.enum(["high", "normal", "low"]),
    pool: z.string(),
    policy: z.looseObject({}).describe("How it is treated: the schedule's and the action's policies when it was made"),
    exclusive: z.boolean(),
    status: z.enum(RUN_STATUSES),
    status_reason: text,
    error_code: text,
    error_message: text,
    attempt: z.int(),
    available_at: answeredMoment,
    progress: z.number().nullable(),
    progress_message: text,
    progress_sequence: z.number().nullable(),
    metrics: z.record(z.string(), z.number()).nullable(),
    result: z.unknown(),
    worker: text,
    traceparent: z.string(),
    created_at: answeredMoment,
    dispatched_at: moment,
    started_at: moment,
    heartbeat_at: moment,
    deadline_at: moment,
    cancel_requested_at: moment,
    cancel_reason: text,
    completed_at: moment,
    breaker_key: text,
    targets: z.array(z.string()).nullable().optional().describe("Of a single run; left out of lists"),
    child_total: count,
    child_completed: count,
    child_failed: count,
    child_cancelled: count,
    child_skipped: count,
  })
  .meta({ id: "Run" });

type Answer = z.input<typeof runAnswer>;
const MOMENTS = [
  ...["scheduled_for", "available_at", "created_at", "dispatched_at", "started_at", "heartbeat_at"],
  ...["deadline_at", "cancel_requested_at", "completed_at"],
] as const;
type Moment = (typeof MOMENTS)[number];

/** A run as the service hands it to be shown: the same columns, instants and priority as numbers. */
export type RunRecord = {
  readonly [Key in Exclude<keyof Answer, Moment | "priority" | "traceparent" | "policy" | "targets">]: Answer[Key];
} & {
  readonly [Key in Moment]: null extends Answer[Key] ? Instant | null : Instant;
} & {
  readonly priority: number;
  readonly traceparent: string | null;
  readonly policy: unknown;
  readonly targets?: readonly string[] | null;
};

const COLUMNS = Object.keys(runAnswer.shape) as (keyof Answer)[];

export function showRun(run: RunRecord): Answer {
  const shown: Record<string, unknown> = {};
  for (const column of COLUMNS) if (run[column] !== undefined) shown[column] = run[column];
  for (const column of MOMENTS) shown[column] = toIsoOrNull(run[column]);
  shown.priority = PRIORITY_NAMES[run.priority as Priority];
  // The trace that its events carry, although nothing needs to be stored for it.
  shown.traceparent = run.traceparent ?? runTraceparent(run.id);
  return shown as Answer;
}

export const attemptAnswer = z
  .object({
    attempt: z.int(),
    status: z.enum(RUN_STATUSES),
    status_reason: text,
    error_code: text,
    error_message: text,
    worker: text,
    progress: z.number().nullable(),
    metrics: z.record(z.string(), z.number()).nullable(),
    result: z.unknown(),
    available_at: moment,
    dispatched_at: moment,
    started_at: moment,
    completed_at: answeredMoment,
  })
  .meta({ id: "Attempt" });

export interface AttemptRecord {
  readonly attempt: number;
  readonly status: (typeof RUN_STATUSES)[number];
  readonly status_reason: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly worker: string | null;
  readonly progress: number | null;
  readonly metrics: Readonly<Record<string, number>> | null;
  readonly result: unknown;
  readonly available_at: Instant | null;
  readonly dispatched_at: Instant | null;
  readonly started_at: Instant | null;
  readonly completed_at: Instant;
}

export function showAttempt(attempt: AttemptRecord) {
  return {
    ...attempt,
    available_at: toIsoOrNull(attempt.available_at),
    dispatched_at: toIsoOrNull(attempt.dispatched_at),
    started_at: toIsoOrNull(attempt.started_at),
    completed_at: toIsoOrNull(attempt.completed_at)!,
  };
}
