import { type Instant, toPostgres } from "../schedule/instant.ts";
import { CANCEL_GRACE_MS } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";

// Runs in a consumer's hands whose answer may lie unread are left out here: in an outage they would fill every batch and
// keep those behind them from their end.
const OVERDUE: Statement = {
  name: "overdue_runs",
  text: `
    SELECT id, child_total IS NOT NULL AS is_parent FROM runs
    WHERE deadline_at <= pocketwatch_now()
      AND (status NOT IN ('dispatched', 'running') OR deadline_at <= $2
           OR (cancel_sent_at IS NOT NULL AND deadline_at <= pocketwatch_now() - $3 * interval '1 millisecond'))
    ORDER BY deadline_at LIMIT $1`,
};

/** Ids of runs to be looked at, not locked yet. Parents stand apart: see `lockRuns`. */
export interface Found {
  readonly parents: readonly string[];
  readonly others: readonly string[];
}

/**
 * Runs that supervise has to look at now.
 *
 * @param heard_until deadlines that a message could have met count up to this instant
 */
export async function overdueRuns(tx: Tx, heard_until: Instant | null, limit: number): Promise<Found> {
  const until = toPostgres(heard_until ?? Number.NEGATIVE_INFINITY);
  return apart(await tx.query<FoundRun>(OVERDUE, [limit, until, CANCEL_GRACE_MS]));
}

interface FoundRun {
  readonly id: string;
  readonly is_parent: boolean;
}

function apart(rows: readonly FoundRun[]): Found {
  const ids = (is_parent: boolean) => rows.filter((row) => row.is_parent === is_parent).map((row) => row.id);
  return { parents: ids(true), others: ids(false) };
}

const TO_CANCEL: Statement = {
  name: "runs_to_cancel",
  text: `
    SELECT id, child_total IS NOT NULL AS is_parent FROM runs
    WHERE cancel_requested_at IS NOT NULL AND cancel_sent_at IS NULL AND completed_at IS NULL
    ORDER BY id LIMIT $1`,
};

/** Runs flagged to be cancelled. */
export async function runsToCancel(tx: Tx, limit: number): Promise<Found> {
  return apart(await tx.query<FoundRun>(TO_CANCEL, [limit]));
}

const OPEN_CHILDREN: Statement = {
  name: "request_cancel_of_children",
  text: `
    UPDATE runs SET cancel_requested_at = pocketwatch_now(), cancel_reason = c.reason
    FROM (
      SELECT r.id, p.cancel_reason AS reason FROM runs r JOIN runs p ON p.id = r.parent_run_id
      WHERE r.parent_run_id = ANY($1::uuid[]) AND r.completed_at IS NULL AND r.cancel_requested_at IS NULL
      ORDER BY r.id FOR NO KEY UPDATE OF r) AS c
    WHERE runs.id = c.id`,
};

/**
 * Passes the request to cancel on to the unfinished children. The parents are flagged already, and not locked yet:
 * children come first. None can be added any more, because expand leaves flagged parents alone.
 */
export async function requestCancelOfChildren(tx: Tx, parents: readonly string[]): Promise<void> {
  await tx.query(OPEN_CHILDREN, [parents]);
}

// The last one is for leases that other instances take from now on and leave behind: none of them expires sooner, so that
// whoever looks again by then takes them over the moment they do, however long the poll.
const NEXT_DEADLINE: Statement = {
  name: "next_deadline",
  text: `
    SELECT extract(epoch FROM least(
      pocketwatch_now() + interval '15 seconds',
      (SELECT min(deadline_at) FROM runs WHERE deadline_at IS NOT NULL),
      (SELECT min(lease_until) FROM leases),
      (SELECT min(opened_at + cooldown_seconds * interval '1 second') FROM breakers WHERE state = 'open')
    ) - pocketwatch_now())::double precision * 1000 AS next_in_ms`,
};

/** Milliseconds to the next deadline of a run, expiry of a lease or end of a cooldown; the length of a lease at most. */
export async function nextDeadlineIn(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ next_in_ms: number }>(NEXT_DEADLINE);
  return row!.next_in_ms;
}

const NOW: Statement = { name: "database_now", text: "SELECT pocketwatch_now() AS now" };

export async function databaseNow(tx: Tx): Promise<Instant> {
  const [row] = await tx.query<{ now: Instant }>(NOW);
  return row!.now;
}

const SEEN: Statement = {
  name: "instance_seen",
  text: `
    INSERT INTO instances (id, version, broker, passes, last_seen_at) VALUES ($1, $2, $3, $4::jsonb, pocketwatch_now())
    ON CONFLICT (id) DO UPDATE SET last_seen_at = excluded.last_seen_at, broker = excluded.broker, passes = excluded.passes,
      version = excluded.version`,
};
const FORGET: Statement = {
  name: "forget_instances",
  text: "DELETE FROM instances WHERE last_seen_at < pocketwatch_now() - interval '1 day'",
};

export interface InstanceReport {
  readonly id: string;
  readonly version: string;
  readonly broker: string;
  readonly passes: unknown;
}

/** This instance's sign of life; instances not heard of for a day are forgotten. */
export async function noteInstance(tx: Tx, report: InstanceReport): Promise<void> {
  await tx.query(SEEN, [report.id, report.version, report.broker, JSON.stringify(report.passes)]);
  await tx.query(FORGET);
}
