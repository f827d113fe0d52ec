import type { Instant } from "../schedule/instant.ts";
import type { Policy } from "../schedule/policy.ts";
import type { WaitingRun } from "../schedule/waiting.ts";
import type { Queryable, Statement, Tx } from "./connection.ts";
import { sqlIdAt } from "./least-id.ts";

// Two look-ups that each use their own index: an OR of both would scan every schedule. ORDER BY: see dispatch.ts.
const AFFECTED: Statement = {
  name: "affected_by_ends",
  text: `
    SELECT e.id FROM unnest($1::uuid[]) AS e (id), LATERAL (
      SELECT FROM runs r WHERE r.schedule_id = e.id AND r.status = 'waiting' AND r.parent_run_id IS NULL
      ORDER BY r.schedule_id, r.status_reason, r.id LIMIT 1) AS w
    UNION
    SELECT id FROM schedules WHERE cardinality(depends_on) > 0 AND depends_on && $2::uuid[]`,
};

/** Schedules that may have something to release, after runs of `ended` ended, `completed` ones among them. */
export async function affectedByEnds(
  database: Queryable,
  ended: readonly string[],
  completed: readonly string[],
): Promise<string[]> {
  const rows = await database.query<{ id: string }>(AFFECTED, [ended, completed]);
  return rows.map((row) => row.id);
}

// Schedules with waiting runs are walked one index probe at a time, so that a million waiting runs of one schedule are one
// step.
const ALL_WAITERS: Statement = {
  name: "all_waiters",
  text: `
    WITH RECURSIVE w (id, n) AS (
      (SELECT r.schedule_id, 1 FROM runs r
       WHERE r.status = 'waiting' AND r.parent_run_id IS NULL AND r.schedule_id > $1::uuid
       ORDER BY r.schedule_id LIMIT 1)
      UNION ALL
      SELECT (SELECT r.schedule_id FROM runs r
              WHERE r.status = 'waiting' AND r.parent_run_id IS NULL AND r.schedule_id > w.id
              ORDER BY r.schedule_id LIMIT 1), w.n + 1
      FROM w WHERE w.id IS NOT NULL AND w.n < $2
    )
    SELECT id FROM (
      SELECT id FROM w WHERE id IS NOT NULL
      UNION
      SELECT id FROM schedules WHERE cardinality(depends_on) > 0 AND kind = 'event' AND enabled AND id > $1::uuid
    ) AS all_waiters ORDER BY id LIMIT $2`,
};

/** Every schedule with something to wait for, in id order after `after`. */
export async function waiters(tx: Tx, after: string, limit: number): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(ALL_WAITERS, [after, limit]);
  return rows.map((row) => row.id);
}

export interface LockedWaiter {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly enabled: boolean;
  readonly paused_until: Instant | null;
  readonly problem: string | null;
  readonly depends_on: readonly string[];
  readonly created_at: Instant;
  readonly last_occurrence_at: Instant | null;
  readonly resolved: Policy | null;
  readonly now: Instant;
}

const LOCK: Statement = {
  name: "lock_waiters",
  text: `
    SELECT id, name, kind, enabled, paused_until, problem, depends_on, created_at, last_occurrence_at, resolved,
      pocketwatch_now() AS now
    FROM schedules WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`,
};

export function lockWaiters(tx: Tx, ids: readonly string[]): Promise<LockedWaiter[]> {
  return tx.query<LockedWaiter>(LOCK, [ids]);
}

/** Waiting runs looked at per schedule and reason; what lies behind them is asked for in the next round. */
export const MOST_WAITING = 100;

// Asked after the schedule rows are locked: whoever inserts a run of them, or releases one, holds that lock. One statement,
// because a breaker holds and releases runs without it: a run must be seen either waiting or in flight.
const WAITING: Statement = {
  name: "waiting_runs",
  text: `
    SELECT w.*, CASE WHEN w.status_reason = 'blocked' THEN (
      SELECT p.scheduled_for FROM runs p
      WHERE p.schedule_id = w.schedule_id AND p.id < w.id AND p.trigger_type = 'scheduled' AND p.parent_run_id IS NULL
      ORDER BY p.id DESC LIMIT 1) END AS previous_at
    FROM unnest($1::uuid[]) AS s (id), LATERAL (
      SELECT r.schedule_id, r.id, r.status, r.status_reason, r.exclusive
      FROM unnest(ARRAY['blocked', 'buffered', 'breaker_open']) AS reason, LATERAL (
        SELECT * FROM runs q
        WHERE q.schedule_id = s.id AND q.status = 'waiting' AND q.parent_run_id IS NULL AND q.status_reason = reason
          AND q.cancel_requested_at IS NULL
        ORDER BY q.id LIMIT ${MOST_WAITING}) AS r
      UNION ALL
      SELECT r.schedule_id, r.id, r.status, r.status_reason, r.exclusive FROM runs r
      WHERE r.schedule_id = s.id AND r.exclusive AND r.parent_run_id IS NULL
        AND r.status IN ('pending', 'dispatched', 'running')) AS w
    ORDER BY w.schedule_id, w.id`,
};
// Runs that complete within ten minutes of their id's instant, as most do, are not in runs_completed_late: they are found among
// the schedule's newest runs. The newest of them by id that has completed need not be the one that completed last, but whatever
// completed after it has an id from the ten minutes before that or a newer one.
const COMPLETED: Statement = {
  name: "last_completed",
  text: `
    SELECT d.id, greatest(late.completed_at, prompt.completed_at) AS completed_at
    FROM unnest($1::uuid[]) AS d (id), LATERAL (
      SELECT max(r.completed_at) AS completed_at FROM runs r
      WHERE r.schedule_id = d.id AND r.status = 'completed' AND r.parent_run_id IS NULL
        AND r.completed_at - pocketwatch_id_instant(r.id) > interval '10 minutes') AS late, LATERAL (
      SELECT max(r.completed_at) AS completed_at FROM runs r
      WHERE r.schedule_id = d.id AND r.status = 'completed' AND r.parent_run_id IS NULL
        AND r.id >= (
          SELECT ${sqlIdAt("n.completed_at - interval '10 minutes'")}
          FROM runs n WHERE n.schedule_id = d.id AND n.status = 'completed' AND n.parent_run_id IS NULL
          ORDER BY n.schedule_id DESC, n.id DESC LIMIT 1)) AS prompt`,
};

export interface WaitingFacts {
  readonly waiting: Map<string, WaitingRun[]>;
  /** Schedule → its run in flight. */
  readonly busy: Map<string, string>;
  /** Dependency → when it last completed. */
  readonly completed: Map<string, Instant | null>;
}

/** What the conditions of these locked schedules are functions of. */
export async function waitingFacts(tx: Tx, schedules: readonly LockedWaiter[]): Promise<WaitingFacts> {
  const ids = schedules.map((schedule) => schedule.id);
  const dependencies = [...new Set(schedules.flatMap((schedule) => schedule.depends_on))];
  const waiting = new Map<string, WaitingRun[]>();
  const busy = new Map<string, string>();
  for (const row of await tx.query<WaitingRun & { schedule_id: string; status: string }>(WAITING, [ids])) {
    if (row.status !== "waiting") busy.set(row.schedule_id, row.id);
    else waiting.set(row.schedule_id, [...(waiting.get(row.schedule_id) ?? []), row]);
  }
  const completed = await tx.query<{ id: string; completed_at: Instant | null }>(COMPLETED, [dependencies]);
  return {
    waiting,
    busy,
    completed: new Map(completed.map((row) => [row.id, row.completed_at])),
  };
}

const REQUEST_CANCEL: Statement = {
  name: "request_cancel",
  text: `
    UPDATE runs SET cancel_requested_at = pocketwatch_now(), cancel_reason = $2
    WHERE id IN (SELECT id FROM runs WHERE id = ANY($1::uuid[]) AND cancel_requested_at IS NULL AND completed_at IS NULL
                 ORDER BY child_total IS NOT NULL, id FOR NO KEY UPDATE)
    RETURNING id`,
};

/** Flags unfinished runs to be cancelled; supervise acts on the flag. Answers those that were not flagged before. */
export async function requestCancel(tx: Tx, runIds: readonly string[], reason: string): Promise<string[]> {
  if (runIds.length === 0) return [];
  const rows = await tx.query<{ id: string }>(REQUEST_CANCEL, [runIds, reason]);
  return rows.map((row) => row.id);
}
