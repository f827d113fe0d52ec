import { getTableColumns } from "drizzle-orm";
import { type Instant, toPostgres, toPostgresOrNull } from "../schedule/instant.ts";
import type { Policy } from "../schedule/policy.ts";
import type { Statement, Tx } from "./connection.ts";
import { type RunRow, runs, type Status, type StatusReason, type TriggerType } from "./schema.ts";

/** A run that somebody or something other than the calendar asks for. */
export interface NewRun {
  /** Absent: a fresh time-ordered id. */
  readonly id?: string;
  readonly schedule_id: string | null;
  readonly schedule_name: string | null;
  readonly action: string;
  readonly action_version: number;
  readonly payload: unknown;
  /** The payload as Postgres prints it, where it comes from there: JavaScript would round long numbers in it. */
  readonly payload_text?: string | undefined;
  readonly targets: readonly string[] | null;
  readonly trigger_type: TriggerType;
  readonly triggered_by: string | null;
  /** null: now. */
  readonly scheduled_for: Instant | null;
  readonly policy: Policy;
  readonly exclusive: boolean;
  readonly status: Status;
  readonly status_reason: StatusReason | null;
  readonly breaker_key: string | null;
  readonly traceparent: string | null;
}

// Named one by one: a prepared "RETURNING *" fails for as long as its connection lives once a migration adds a column.
const COLUMNS = Object.keys(getTableColumns(runs)).join(", ");

const INSERT: Statement = {
  name: "insert_runs",
  text: `
    INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, payload, targets, child_total, child_expanded, trigger_type,
      triggered_by, scheduled_for, priority, pool, policy, exclusive, status, status_reason, available_at, deadline_at,
      completed_at, created_at, breaker_key, traceparent)
    SELECT coalesce(n.id, pocketwatch_uuid_v7()), n.schedule_id, n.schedule_name, n.action, n.action_version,
      n.payload,
      n.targets, cardinality(n.targets), CASE WHEN n.targets IS NOT NULL THEN 0 END, n.trigger_type, n.triggered_by, coalesce(n.scheduled_for, pocketwatch_now()),
      (n.policy->>'priority')::smallint, n.policy->>'pool', n.policy, n.exclusive, n.status, n.status_reason,
      pocketwatch_now(),
      CASE WHEN n.status <> 'skipped'
        THEN pocketwatch_now() + make_interval(secs => (n.policy->>'start_deadline_seconds')::int) END,
      CASE WHEN n.status = 'skipped' THEN pocketwatch_now() END, pocketwatch_now(), n.breaker_key, n.traceparent
    FROM ROWS FROM (
      jsonb_to_recordset($1::jsonb) AS (id uuid, schedule_id uuid, schedule_name text, action text, action_version int,
        targets text[], trigger_type text, triggered_by text, scheduled_for timestamptz, policy jsonb, exclusive boolean,
        status text, status_reason text, breaker_key text, traceparent text),
      unnest($2::jsonb[])
    ) AS n (id, schedule_id, schedule_name, action, action_version, targets, trigger_type, triggered_by, scheduled_for,
      policy, exclusive, status, status_reason, breaker_key, traceparent, payload)
    ON CONFLICT (id) DO NOTHING
    RETURNING ${COLUMNS}`,
};

/** Inserts runs in the order given; those whose id exists already are missing from the answer. */
export function insertRuns(tx: Tx, added: readonly NewRun[]): Promise<RunRow[]> {
  const rows = added.map(({ payload, payload_text, ...run }) => ({
    ...run,
    targets: run.targets === null || run.targets.length === 0 ? null : run.targets,
    scheduled_for: toPostgresOrNull(run.scheduled_for),
  }));
  // Beside the record: jsonb_to_recordset turns JSON's null into SQL's, and the payload may be text already.
  const payloads = added.map((run) => run.payload_text ?? JSON.stringify(run.payload ?? null));
  return tx.query<RunRow>(INSERT, [JSON.stringify(rows), payloads]);
}

const NOTE_OCCURRENCE: Statement = {
  name: "note_occurrence",
  text: "UPDATE schedules SET last_occurrence_at = greatest(last_occurrence_at, $2::timestamptz) WHERE id = $1",
};

/** Notes up to when a schedule's occurrences, or the completions it waits for, have been dealt with. */
export async function noteOccurrence(tx: Tx, scheduleId: string, at: Instant): Promise<void> {
  await tx.query(NOTE_OCCURRENCE, [scheduleId, toPostgres(at)]);
}

const NOTE_RUN: Statement = {
  name: "note_run",
  text: `
    UPDATE schedules SET last_run_id = $2, last_run_at = pocketwatch_now(), run_count = run_count + $3,
      last_occurrence_at = coalesce($4::timestamptz, last_occurrence_at)
    WHERE id = $1`,
};

/** Notes a schedule's latest run. `counts`: it is one of the schedule's own, not one asked for by hand. */
export async function noteRun(
  tx: Tx,
  scheduleId: string,
  runId: string,
  counts: boolean,
  occurrenceAt: Instant | null = null,
): Promise<void> {
  await tx.query(NOTE_RUN, [scheduleId, runId, counts ? 1 : 0, toPostgresOrNull(occurrenceAt)]);
}
