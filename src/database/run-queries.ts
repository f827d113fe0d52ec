import { getTableColumns } from "drizzle-orm";
import type { Instant } from "../schedule/instant.ts";
import { type Conditions, conditions, containing } from "./conditions.ts";
import type { Statement, Tx } from "./connection.ts";
import { type Found, found, MOST_LOOKED_AT } from "./found.ts";
import { type RunRow, runs, STATUSES, type Status } from "./schema.ts";

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
export async function listRuns(
  tx: Tx,
  filter: RunFilter,
  page: { readonly before: string | null; readonly limit: number },
): Promise<Found<ListedRun>> {
  const where = filtered(filter);
  const span = spanOf(where, filter, page.before);
  const limit = where.parameter(page.limit);
  const arms = rareArms(filter);
  if (arms !== null) {
    const each = arms.map(
      (arm) => `(SELECT r.* FROM runs r ${where.where} AND ${arm} ORDER BY r.id DESC LIMIT ${limit})`,
    );
    const text = `SELECT ${COLUMNS} FROM (${each.join(" UNION ALL ")}) AS r ORDER BY r.id DESC LIMIT ${limit}`;
    return { rows: await tx.query<ListedRun>(text, where.values), looked_to: null };
  }
  // All of one schedule or parent lie together.
  if (filter.schedule_id !== undefined || filter.parent_run_id !== undefined) {
    const text = `SELECT ${COLUMNS} FROM runs r ${where.where} ORDER BY r.id DESC LIMIT ${limit}`;
    return { rows: await tx.query<ListedRun>(text, where.values), looked_to: null };
  }
  const rows = await tx.query<ListedRun & { looked_to: string | null }>(
    `WITH looked AS (
       SELECT (SELECT l.id FROM runs l ${span} ORDER BY l.id DESC OFFSET ${MOST_LOOKED_AT - 1} LIMIT 1) AS id)
     SELECT ${COLUMNS}, looked.id AS looked_to FROM looked LEFT JOIN (
       SELECT r.* FROM (SELECT l.* FROM runs l ${span} ORDER BY l.id DESC LIMIT ${MOST_LOOKED_AT}) AS r
       ${where.where} ORDER BY r.id DESC LIMIT ${limit}) AS r ON true
     ORDER BY r.id DESC`,
    where.values,
  );
  return found(rows);
}

/** The part of the primary key that a list is about, as conditions on `l`; they are conditions of the list, too. */
function spanOf(where: Conditions, filter: RunFilter, before: string | null): string {
  const bounds: string[] = [];
  const bound = (operator: string, id: string) => {
    const name = where.parameter(id);
    where.add(`r.id ${operator} ${name}::uuid`, null);
    bounds.push(`l.id ${operator} ${name}::uuid`);
  };
  // Ids begin with the nominal instant, so that a span of time is a span of the primary key.
  if (filter.from !== undefined) bound(">=", idAt(filter.from));
  if (filter.to !== undefined) bound("<", idAt(filter.to));
  if (before !== null) bound("<", before);
  return bounds.length === 0 ? "" : `WHERE ${bounds.join(" AND ")}`;
}

/**
 * Every status but `completed` is rare, and partial indexes find its runs. Each condition is one that an index of its own
 * serves; together they are the statuses asked for. null: all of history is asked for.
 */
function rareArms({ status, schedule_id, parent_run_id }: RunFilter): string[] | null {
  if (status === undefined || status.includes("completed")) return null;
  if (schedule_id !== undefined || parent_run_id !== undefined) return null;
  return STATUSES.filter((known) => status.includes(known)).flatMap((known) =>
    ["pending", "dispatched", "running"].includes(known)
      ? [
          `r.status = '${known}' AND r.child_total IS NULL AND r.cancel_requested_at IS NULL`,
          `r.status = '${known}' AND (r.child_total IS NOT NULL OR r.cancel_requested_at IS NOT NULL)`,
        ]
      : [`r.status = '${known}'`],
  );
}

/** Those of these runs that the filter lets through, by id. */
export function pickRuns(tx: Tx, filter: RunFilter, ids: readonly string[]): Promise<ListedRun[]> {
  const where = filtered(filter);
  spanOf(where, filter, null);
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
  else where.add(filter.children === true ? "true" : "r.parent_run_id IS NULL", null);
  if (filter.labels !== undefined) {
    where.add("r.schedule_id IN (SELECT id FROM schedules WHERE labels @> $?::jsonb)", JSON.stringify(filter.labels));
  }
  if (filter.label_names !== undefined) {
    where.add("r.schedule_id IN (SELECT id FROM schedules WHERE labels ?& $?::text[])", filter.label_names);
  }
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
