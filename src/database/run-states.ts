import { toPostgresOrNull } from "../schedule/instant.ts";
import { DEFAULT_POLICY } from "../schedule/policy.ts";
import type { RunState } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";

/** A locked run: what transitions change, and what its events say. */
export interface LockedRun extends RunState {
  readonly schedule_name: string | null;
  readonly target: string | null;
  readonly action: string;
  readonly action_version: number;
  readonly trigger_type: string;
  readonly triggered_by: string | null;
  readonly scheduled_for: number;
  readonly created_at: number;
  readonly pool: string;
  readonly breaker_key: string | null;
  readonly exclusive: boolean;
  readonly child_total: number | null;
  readonly traceparent: string | null;
  /** The database's instant. */
  readonly now: number;
}

const COLUMNS = `r.id, r.schedule_id, r.parent_run_id, r.status, r.status_reason, r.error_code, r.error_message, r.attempt,
  r.available_at, r.progress, r.progress_message, r.progress_sequence, r.metrics, r.result, r.worker, r.dispatched_at,
  r.started_at, r.heartbeat_at, r.deadline_at, r.cancel_requested_at, r.cancel_reason, r.cancel_sent_at, r.completed_at, r.policy,
  r.schedule_name, r.target, r.action, r.action_version, r.trigger_type, r.triggered_by, r.scheduled_for, r.created_at,
  r.pool, r.breaker_key, r.exclusive, r.child_total, r.traceparent, pocketwatch_now() AS now`;

// An outcome may touch its schedule: a failure counts, a success clears the count, the last child decides for its parent.
// Schedules are locked before runs everywhere, so they are found by an unlocked look first. A run of a schedule that
// has never failed needs none of this, which keeps the common case free of it.
const LOCK_SCHEDULES: Statement = {
  name: "lock_schedules_of_outcomes",
  text: `
    SELECT s.id FROM schedules s
    WHERE s.id IN (
      SELECT r.schedule_id FROM unnest($1::uuid[], $2::boolean[]) AS m (id, failed)
      JOIN runs r ON r.id = m.id JOIN schedules o ON o.id = r.schedule_id
      WHERE m.failed OR o.consecutive_failures > 0 OR r.parent_run_id IS NOT NULL)
    ORDER BY s.id FOR NO KEY UPDATE OF s`,
};

export async function lockSchedulesOfOutcomes(
  tx: Tx,
  ends: readonly { readonly run_id: string; readonly failed: boolean }[],
): Promise<void> {
  if (ends.length === 0) return;
  await tx.query(LOCK_SCHEDULES, [ends.map((end) => end.run_id), ends.map((end) => end.failed)]);
}

const LOCK_RUNS: Statement = {
  name: "lock_runs",
  text: `
    SELECT ${COLUMNS} FROM runs r WHERE r.id = ANY($1::uuid[])
    ORDER BY r.child_total IS NOT NULL, r.id FOR NO KEY UPDATE`,
};

/**
 * Locks runs, parents after all others, each in id order; those that do not exist are missing from the answer. Whoever
 * holds a parent must not lock a child, because whoever ends a child goes on to its parent.
 */
export async function lockRuns(tx: Tx, ids: readonly string[]): Promise<LockedRun[]> {
  const runs = await tx.query<LockedRun>(LOCK_RUNS, [ids]);
  // A row that was inserted by hand may have gaps in its policy.
  return runs.map((run) => ({ ...run, policy: { ...DEFAULT_POLICY, ...run.policy } }));
}

const WRITE: Statement = {
  name: "write_run_states",
  text: `
    UPDATE runs r SET status = u.status, status_reason = u.status_reason, error_code = u.error_code,
      error_message = u.error_message, attempt = u.attempt, available_at = u.available_at, progress = u.progress,
      progress_message = u.progress_message, progress_sequence = u.progress_sequence, metrics = u.metrics,
      result = u.result, worker = u.worker, dispatched_at = u.dispatched_at, started_at = u.started_at,
      heartbeat_at = u.heartbeat_at, deadline_at = u.deadline_at, completed_at = u.completed_at,
      cancel_requested_at = u.cancel_requested_at, cancel_reason = u.cancel_reason,
      cancel_sent_at = u.cancel_sent_at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::timestamptz[], $8::real[],
      $9::text[], $10::bigint[], $11::jsonb[], $12::jsonb[], $13::text[], $14::timestamptz[], $15::timestamptz[],
      $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::text[], $21::timestamptz[])
      AS u (id, status, status_reason, error_code, error_message, attempt, available_at, progress, progress_message,
        progress_sequence, metrics, result, worker, dispatched_at, started_at, heartbeat_at, deadline_at, completed_at,
        cancel_requested_at, cancel_reason, cancel_sent_at)
    WHERE r.id = u.id`,
};

const json = (value: unknown) => (value === null || value === undefined ? null : JSON.stringify(value));

/** Writes the states of locked runs with one statement. */
export async function writeRunStates(tx: Tx, runs: readonly RunState[]): Promise<void> {
  if (runs.length === 0) return;
  await tx.query(WRITE, [
    runs.map((run) => run.id),
    runs.map((run) => run.status),
    runs.map((run) => run.status_reason),
    runs.map((run) => run.error_code),
    runs.map((run) => run.error_message),
    runs.map((run) => run.attempt),
    runs.map((run) => toPostgresOrNull(run.available_at)),
    runs.map((run) => run.progress),
    runs.map((run) => run.progress_message),
    runs.map((run) => run.progress_sequence),
    runs.map((run) => json(run.metrics)),
    runs.map((run) => json(run.result)),
    runs.map((run) => run.worker),
    runs.map((run) => toPostgresOrNull(run.dispatched_at)),
    runs.map((run) => toPostgresOrNull(run.started_at)),
    runs.map((run) => toPostgresOrNull(run.heartbeat_at)),
    runs.map((run) => toPostgresOrNull(run.deadline_at)),
    runs.map((run) => toPostgresOrNull(run.completed_at)),
    runs.map((run) => toPostgresOrNull(run.cancel_requested_at)),
    runs.map((run) => run.cancel_reason),
    runs.map((run) => toPostgresOrNull(run.cancel_sent_at)),
  ]);
}

const ARCHIVE: Statement = {
  name: "archive_attempts",
  text: `
    INSERT INTO run_attempts (run_id, attempt, status, status_reason, error_code, error_message, worker, progress, metrics,
      result, available_at, dispatched_at, started_at, completed_at)
    SELECT a.* FROM jsonb_to_recordset($1::jsonb) AS a (id uuid, attempt int, status text, status_reason text,
      error_code text, error_message text, worker text, progress real, metrics jsonb, result jsonb,
      available_at timestamptz, dispatched_at timestamptz, started_at timestamptz, completed_at timestamptz)
    ON CONFLICT DO NOTHING`,
};

/** Keeps attempts that are followed by another one. */
export async function archiveAttempts(tx: Tx, attempts: readonly RunState[]): Promise<void> {
  if (attempts.length === 0) return;
  const rows = attempts.map((run) => ({
    ...run,
    policy: undefined,
    available_at: toPostgresOrNull(run.available_at),
    dispatched_at: toPostgresOrNull(run.dispatched_at),
    started_at: toPostgresOrNull(run.started_at),
    completed_at: toPostgresOrNull(run.completed_at),
  }));
  await tx.query(ARCHIVE, [JSON.stringify(rows)]);
}
