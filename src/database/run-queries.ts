import { getTableColumns } from "drizzle-orm";
import type { Instant } from "../schedule/instant.ts";
import type { Statement, Tx } from "./connection.ts";
import { type RunRow, runs, type Status } from "./schema.ts";

const COLUMNS = Object.keys(getTableColumns(runs)).join(", ");
const ONE: Statement = { name: "view_run", text: `SELECT ${COLUMNS} FROM runs WHERE id = $1` };

export async function viewRun(tx: Tx, id: string): Promise<RunRow | undefined> {
  const [run] = await tx.query<RunRow>(ONE, [id]);
  return run;
}

const CHILD_COUNTS: Statement = {
  name: "child_status_counts",
  text: "SELECT status, count(*)::int AS count FROM runs WHERE parent_run_id = $1 GROUP BY status",
};

/** How many children of a run are in each status. */
export async function childStatusCounts(tx: Tx, parentId: string): Promise<Record<string, number>> {
  const rows = await tx.query<{ status: string; count: number }>(CHILD_COUNTS, [parentId]);
  return Object.fromEntries(rows.map((row) => [row.status, row.count]));
}

const ATTEMPTS: Statement = {
  name: "run_attempts",
  text: `
    SELECT attempt, status, status_reason, error_code, error_message, worker, progress, metrics, result, available_at,
      dispatched_at, started_at, completed_at
    FROM run_attempts WHERE run_id = $1 ORDER BY attempt`,
};

export interface EndedAttempt {
  readonly attempt: number;
  readonly status: Status;
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

/** Attempts of a run that another one followed, in their order. */
export function endedAttempts(tx: Tx, runId: string): Promise<EndedAttempt[]> {
  return tx.query<EndedAttempt>(ATTEMPTS, [runId]);
}

// Parents pass the request on to their children themselves.
const UNFINISHED: Statement = {
  name: "unfinished_runs",
  text: `
    SELECT id FROM runs
    WHERE schedule_id = $1 AND parent_run_id IS NULL AND status IN ('waiting', 'pending', 'dispatched', 'running')
    ORDER BY id`,
};

/** Top-level runs of a schedule that have not ended. */
export async function unfinishedRuns(tx: Tx, scheduleId: string): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(UNFINISHED, [scheduleId]);
  return rows.map((row) => row.id);
}

const STANDING: Statement = {
  name: "runs_that_stand",
  text: `
    SELECT id FROM runs
    WHERE id = ANY($1::uuid[]) AND NOT (status = 'skipped' AND status_reason IS NOT DISTINCT FROM 'missed')`,
};

/** Those of these ids that a run has, other than the row which says that its occurrence was missed. */
export async function runsThatStand(tx: Tx, ids: readonly string[]): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }>(STANDING, [ids]);
  return new Set(rows.map((row) => row.id));
}
