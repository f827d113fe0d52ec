import { type Instant, toPostgres } from "../schedule/instant.ts";
import { CANCEL_GRACE_MS } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";

// Runs in a consumer's hands whose answer may lie unread are left out here: in an outage they would fill every batch and
// keep those behind them from their end.
const OVERDUE: Statement = {
  name: "overdue_runs",
  text: `
    SELECT id FROM runs
    WHERE deadline_at <= pocketwatch_now() AND (child_total IS NOT NULL) = $2
      AND (status NOT IN ('dispatched', 'running') OR deadline_at <= $3
           OR (cancel_sent_at IS NOT NULL AND deadline_at <= pocketwatch_now() - $4 * interval '1 millisecond'))
    ORDER BY deadline_at LIMIT $1`,
};

/**
 * Runs that supervise has to look at now, parents or all others. Not locked yet: their schedules come first.
 *
 * @param heard_until deadlines that a message could have met count up to this instant
 */
export async function overdueRuns(
  tx: Tx,
  parents: boolean,
  heard_until: Instant | null,
  limit: number,
): Promise<string[]> {
  const until = toPostgres(heard_until ?? Number.NEGATIVE_INFINITY);
  const rows = await tx.query<{ id: string }>(OVERDUE, [limit, parents, until, CANCEL_GRACE_MS]);
  return rows.map((row) => row.id);
}

const TO_CANCEL: Statement = {
  name: "runs_to_cancel",
  text: `
    SELECT id FROM runs
    WHERE cancel_requested_at IS NOT NULL AND cancel_sent_at IS NULL AND completed_at IS NULL
      AND (child_total IS NOT NULL) = $2
    ORDER BY id LIMIT $1`,
};

/** Runs flagged to be cancelled, parents or all others. Not locked yet. */
export async function runsToCancel(tx: Tx, parents: boolean, limit: number): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(TO_CANCEL, [limit, parents]);
  return rows.map((row) => row.id);
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

const NEXT_DEADLINE: Statement = {
  name: "next_deadline",
  text: `
    SELECT extract(epoch FROM least(
      (SELECT min(deadline_at) FROM runs WHERE deadline_at IS NOT NULL),
      (SELECT min(lease_until) FROM leases),
      (SELECT min(opened_at + cooldown_seconds * interval '1 second') FROM breakers WHERE state = 'open')
    ) - pocketwatch_now())::double precision * 1000 AS next_in_ms`,
};

/** Milliseconds to the next deadline of a run, expiry of a lease or end of a cooldown; null: none. */
export async function nextDeadlineIn(tx: Tx): Promise<number | null> {
  const [row] = await tx.query<{ next_in_ms: number | null }>(NEXT_DEADLINE);
  return row!.next_in_ms;
}

/** Between which instants ingest is known to have kept up without a gap. */
export interface Listening {
  readonly since: Instant;
  readonly until: Instant;
}

// One row for all instances. A gap longer than the limit starts a new span: nothing is held against a run for the time in
// which nobody was listening to it.
const NOTE_LISTENING: Statement = {
  name: "note_listening",
  text: `
    INSERT INTO settings (key, value)
    VALUES ('listening', jsonb_build_object('since', $1::double precision, 'until', $1::double precision))
    ON CONFLICT (key) DO UPDATE SET updated_at = clock_timestamp(), value = jsonb_build_object(
      'since', CASE WHEN $1 - (settings.value->>'until')::double precision > $2 THEN $1
                    ELSE (settings.value->>'since')::double precision END,
      'until', greatest($1, (settings.value->>'until')::double precision))`,
};

/** Notes that everything consumers had confirmed by `until` is in the database. */
export async function noteListening(tx: Tx, until: Instant, gap_ms: number): Promise<void> {
  await tx.query(NOTE_LISTENING, [until, gap_ms]);
}

const LISTENING: Statement = {
  name: "listening",
  text: `
    SELECT (value->>'since')::double precision AS since, (value->>'until')::double precision AS until
    FROM settings WHERE key = 'listening'`,
};

export async function listening(tx: Tx): Promise<Listening | null> {
  const [row] = await tx.query<Listening>(LISTENING);
  return row ?? null;
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

const RESET_LISTENING: Statement = {
  name: "reset_listening",
  text: `
    INSERT INTO settings (key, value)
    SELECT 'listening', jsonb_build_object('since', n.now, 'until', n.now)
    FROM (SELECT extract(epoch FROM pocketwatch_now())::double precision * 1000 AS now) AS n
    ON CONFLICT (key) DO UPDATE SET updated_at = clock_timestamp(), value = jsonb_build_object(
      'since', excluded.value->'since', 'until', settings.value->'until')`,
};

/** Starts a new span of listening at the database's instant. */
export async function resetListening(tx: Tx): Promise<void> {
  await tx.query(RESET_LISTENING);
}
