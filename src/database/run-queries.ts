import { getTableColumns } from "drizzle-orm";
import type { Instant } from "../schedule/instant.ts";
import { type Conditions, conditions, containing } from "./conditions.ts";
import type { Statement, Tx } from "./connection.ts";
import { type RunRow, runs, type Status } from "./schema.ts";

// Targets can be ten thousand texts: they are shown with a single run, not in a list.
const names = Object.keys(getTableColumns(runs)).filter((column) => column !== "targets");
const COLUMNS = names.map((column) => `r.${column}`).join(", ");

export type ListedRun = Omit<RunRow, "targets">;

const ONE: Statement = { name: "view_run", text: `SELECT ${COLUMNS}, r.targets FROM runs r WHERE r.id = $1` };

export async function viewRun(tx: Tx, id: string): Promise<RunRow | undefined> {
  const [run] = await tx.query<RunRow>(ONE, [id]);
  return run;
}

export interface RunFilter {
  readonly status?: readonly string[] | undefined;
  readonly status_reason?: readonly string[] | undefined;
  readonly action?: readonly string[] | undefined;
  readonly schedule_id?: string | undefined;
  readonly trigger_type?: readonly string[] | undefined;
  readonly priority?: readonly number[] | undefined;
  readonly pool?: readonly string[] | undefined;
  readonly target?: string | undefined;
  readonly parent_run_id?: string | undefined;
  /** Children among the others; otherwise only what has no parent. */
  readonly children?: boolean | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly label_names?: readonly string[] | undefined;
  /** Nominal instants from this one on. */
  readonly from?: Instant | undefined;
  /** Nominal instants before this one. */
  readonly to?: Instant | undefined;
  readonly text?: string | undefined;
}

/** Runs by id, which is by nominal instant, newest first; those before `before`. */
export function listRuns(
  tx: Tx,
  filter: RunFilter,
  page: { readonly before: string | null; readonly limit: number },
): Promise<ListedRun[]> {
  const where = filtered(filter);
  if (page.before !== null) where.add("r.id < $?", page.before);
  const limit = where.parameter(page.limit);
  return tx.query<ListedRun>(
    `SELECT ${COLUMNS} FROM runs r ${where.where} ORDER BY r.id DESC LIMIT ${limit}`,
    where.values,
  );
}

/** Those of these runs that the filter lets through, by id. */
export function pickRuns(tx: Tx, filter: RunFilter, ids: readonly string[]): Promise<ListedRun[]> {
  const where = filtered(filter);
  where.add("r.id = ANY($?)", ids);
  return tx.query<ListedRun>(`SELECT ${COLUMNS} FROM runs r ${where.where} ORDER BY r.id`, where.values);
}

function filtered(filter: RunFilter): Conditions {
  const where = conditions();
  if (filter.status !== undefined) where.add("r.status = ANY($?)", filter.status);
  if (filter.status_reason !== undefined) where.add("r.status_reason = ANY($?)", filter.status_reason);
  if (filter.action !== undefined) where.add("r.action = ANY($?)", filter.action);
  if (filter.schedule_id !== undefined) where.add("r.schedule_id = $?", filter.schedule_id);
  if (filter.trigger_type !== undefined) where.add("r.trigger_type = ANY($?)", filter.trigger_type);
  if (filter.priority !== undefined) where.add("r.priority = ANY($?)", filter.priority);
  if (filter.pool !== undefined) where.add("r.pool = ANY($?)", filter.pool);
  if (filter.target !== undefined) where.add("r.target = $?", filter.target);
  if (filter.parent_run_id !== undefined) where.add("r.parent_run_id = $?", filter.parent_run_id);
  else if (filter.children !== true) where.add("r.parent_run_id IS NULL", null);
  if (filter.labels !== undefined) {
    where.add("r.schedule_id IN (SELECT id FROM schedules WHERE labels @> $?::jsonb)", JSON.stringify(filter.labels));
  }
  if (filter.label_names !== undefined) {
    where.add("r.schedule_id IN (SELECT id FROM schedules WHERE labels ?& $?::text[])", filter.label_names);
  }
  // Ids begin with the nominal instant, so that a span of time is a span of the primary key.
  if (filter.from !== undefined) where.add("r.id >= $?", idAt(filter.from));
  if (filter.to !== undefined) where.add("r.id < $?", idAt(filter.to));
  if (filter.text !== undefined) {
    where.add("r.schedule_name ILIKE $? OR r.error_message ILIKE $? OR r.target ILIKE $?", containing(filter.text));
  }
  return where;
}

/** The least id of a run with this nominal instant. */
export function idAt(instant: Instant): string {
  const milliseconds = Math.min(Math.max(0, Math.trunc(instant)), 2 ** 48 - 1);
  const hex = milliseconds.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
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
