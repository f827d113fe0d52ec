import { z } from "zod";
import type { Instant } from "../schedule/instant.ts";
import type { ResolvedPolicy } from "../schedule/planning.ts";
import { DEFAULT_POLICY, type Policy, PRIORITY_NAMES, type Priority } from "../schedule/policy.ts";
import { answeredMoment, toIsoOrNull } from "./fields.ts";
import { showTiming, type TimingRecord } from "./timing.ts";

export const SCHEDULE_STATES = ["active", "paused", "disabled", "finished", "problem"] as const;

/** A schedule as the service hands it to be shown: its columns under their own names. */
export interface ScheduleRecord extends TimingRecord {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly enabled: boolean;
  readonly action: string;
  readonly action_version: number;
  readonly payload: unknown;
  readonly targets: readonly string[] | null;
  readonly webhook_pattern: string | null;
  readonly channel_pattern: string | null;
  readonly overlap: Policy["overlap"] | null;
  readonly catchup: "latest" | "all" | "skip";
  readonly catchup_window_seconds: number;
  readonly max_attempts: number | null;
  readonly retry_backoff_seconds: number | null;
  readonly retry_backoff_multiplier: number | null;
  readonly retry_backoff_max_seconds: number | null;
  readonly timeout_seconds: number | null;
  readonly heartbeat_seconds: number | null;
  readonly start_deadline_seconds: number | null;
  readonly priority: number | null;
  readonly pool: string | null;
  readonly depends_on: readonly string[];
  readonly max_runs: number | null;
  readonly pause_after_failures: number | null;
  readonly notify_on: readonly string[];
  readonly resolved: unknown;
  readonly state: (typeof SCHEDULE_STATES)[number];
  readonly paused_at: Instant | null;
  readonly paused_until: Instant | null;
  readonly pause_note: string | null;
  readonly next_run_at: Instant | null;
  readonly last_occurrence_at: Instant | null;
  readonly last_run_at: Instant | null;
  readonly last_run_id: string | null;
  readonly last_run_status: string | null;
  readonly run_count: number;
  readonly consecutive_failures: number;
  readonly problem: string | null;
  readonly revision: number;
  readonly created_at: Instant;
  readonly updated_at: Instant;
}

const moment = answeredMoment.nullable();
const whole = z.int().nullable();

/** A schedule as it is answered: what can be written, policies with every gap filled, then what the service keeps. */
export const scheduleAnswer = z
  .object({
    id: z.string(),
    name: z.string(),
    enabled: z.boolean(),
    description: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    action: z.string(),
    action_version: z.int(),
    targets: z.array(z.string()).nullable(),
    payload: z.unknown(),
    timing: z.looseObject({ kind: z.string() }),
    triggers: z.object({ webhook: z.string().nullable(), channel: z.string().nullable() }),
    overlap: z.string(),
    catchup: z.object({ policy: z.string(), window_seconds: z.int() }),
    retry: z.object({
      max_attempts: z.int(),
      backoff_seconds: z.int(),
      multiplier: z.number(),
      max_backoff_seconds: z.int(),
    }),
    timeout_seconds: z.int(),
    heartbeat_seconds: whole,
    start_deadline_seconds: z.int(),
    priority: z.string(),
    pool: z.string(),
    depends_on: z.array(z.string()),
    max_runs: whole,
    pause_after_failures: whole,
    notify_on: z.array(z.string()),
    state: z.enum(SCHEDULE_STATES),
    paused_at: moment,
    paused_until: moment.describe("null while paused: until it is resumed"),
    pause_note: z.string().nullable(),
    next_run_at: moment,
    last_occurrence_at: moment.describe("The latest nominal instant dealt with, run or not"),
    last_run_at: moment,
    last_run_id: z.string().nullable(),
    last_run_status: z.string().nullable(),
    run_count: z.int(),
    consecutive_failures: z.int(),
    problem: z.string().nullable().describe("Why it cannot be planned or fired, in words"),
    revision: z.int(),
    created_at: answeredMoment,
    updated_at: answeredMoment,
  })
  .meta({ id: "Schedule" });

export function showSchedule(row: ScheduleRecord): z.input<typeof scheduleAnswer> {
  const policy = effectivePolicy(row);
  return {
    id: row.id,
    name: row.name,
    enabled: row.enabled,
    description: row.description,
    labels: row.labels,
    action: row.action,
    action_version: row.action_version,
    targets: row.targets === null ? null : [...row.targets],
    payload: row.payload,
    timing: showTiming(row) as { kind: string },
    triggers: { webhook: row.webhook_pattern, channel: row.channel_pattern },
    overlap: policy.overlap,
    catchup: { policy: row.catchup, window_seconds: row.catchup_window_seconds },
    retry: {
      max_attempts: policy.max_attempts,
      backoff_seconds: policy.retry_backoff_seconds,
      multiplier: policy.retry_backoff_multiplier,
      max_backoff_seconds: policy.retry_backoff_max_seconds,
    },
    timeout_seconds: policy.timeout_seconds,
    heartbeat_seconds: policy.heartbeat_seconds,
    start_deadline_seconds: policy.start_deadline_seconds,
    priority: PRIORITY_NAMES[policy.priority],
    pool: policy.pool,
    depends_on: [...row.depends_on],
    max_runs: row.max_runs,
    pause_after_failures: row.pause_after_failures,
    notify_on: [...row.notify_on],
    state: row.state,
    paused_at: toIsoOrNull(row.paused_at),
    paused_until: toIsoOrNull(row.paused_until),
    pause_note: row.pause_note,
    next_run_at: toIsoOrNull(row.next_run_at),
    last_occurrence_at: toIsoOrNull(row.last_occurrence_at),
    last_run_at: toIsoOrNull(row.last_run_at),
    last_run_id: row.last_run_id,
    last_run_status: row.last_run_status,
    run_count: row.run_count,
    consecutive_failures: row.consecutive_failures,
    problem: row.problem,
    revision: row.revision,
    created_at: toIsoOrNull(row.created_at)!,
    updated_at: toIsoOrNull(row.updated_at)!,
  };
}

// A schedule with a problem has no resolved policy: its own columns then say what they can.
function effectivePolicy(row: ScheduleRecord): Policy {
  const resolved = (row.resolved ?? {}) as Partial<ResolvedPolicy>;
  const choose = <Key extends keyof Policy & keyof ScheduleRecord>(key: Key): Policy[Key] =>
    resolved[key] ?? (row[key] as Policy[Key] | null) ?? DEFAULT_POLICY[key];
  return {
    overlap: choose("overlap"),
    max_attempts: choose("max_attempts"),
    retry_backoff_seconds: choose("retry_backoff_seconds"),
    retry_backoff_multiplier: choose("retry_backoff_multiplier"),
    retry_backoff_max_seconds: choose("retry_backoff_max_seconds"),
    timeout_seconds: choose("timeout_seconds"),
    heartbeat_seconds: choose("heartbeat_seconds") || null,
    start_deadline_seconds: choose("start_deadline_seconds"),
    priority: choose("priority") as Priority,
    pool: choose("pool"),
    notify_on: row.notify_on,
  };
}
