import type { Instant } from "../schedule/instant.ts";
import type { Policy } from "../schedule/policy.ts";
import type { WaitingRun } from "../schedule/waiting.ts";
import type { Statement, Tx } from "./connection.ts";

// Two look-ups that each use their own index: an OR of both would scan every schedule.
const AFFECTED: Statement = {
  name: "affected_by_ends",
  text: `
    SELECT DISTINCT schedule_id AS id FROM runs WHERE status = 'waiting' AND schedule_id = ANY($1::uuid[])
    UNION
    SELECT id FROM schedules WHERE cardinality(depends_on) > 0 AND depends_on && $2::uuid[]`,
};

/** Schedules that may have something to release, after runs of `ended` ended, `completed` ones among them. */
export async function affectedByEnds(
  tx: Tx,
  ended: readonly string[],
  completed: readonly string[],
): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(AFFECTED, [ended, completed]);
  return rows.map((row) => row.id);
}

const ALL_WAITERS: Statement = {
  name: "all_waiters",
  text: `
    SELECT id FROM (
      SELECT DISTINCT schedule_id AS id FROM runs WHERE status = 'waiting' AND status_reason <> 'breaker_open'
      UNION
      SELECT id FROM schedules WHERE cardinality(depends_on) > 0 AND kind = 'event' AND enabled
    ) AS w WHERE id > $1::uuid ORDER BY id LIMIT $2`,
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

// Asked after the schedule rows are locked: whoever inserts a run of them, or releases one, holds that lock.
const WAITING: Statement = {
  name: "waiting_runs",
  text: `
    SELECT w.schedule_id, w.id, w.status_reason, (
      SELECT p.scheduled_for FROM runs p
      WHERE p.schedule_id = w.schedule_id AND p.id < w.id AND p.trigger_type = 'scheduled' AND p.parent_run_id IS NULL
      ORDER BY p.id DESC LIMIT 1) AS previous_at
    FROM unnest($1::uuid[]) AS s (id), LATERAL (
      SELECT r.schedule_id, r.id, r.status_reason FROM runs r
      WHERE r.schedule_id = s.id AND r.status = 'waiting' AND r.parent_run_id IS NULL AND r.cancel_requested_at IS NULL
      ORDER BY r.id LIMIT 100) AS w
    ORDER BY w.schedule_id, w.id`,
};
const BUSY: Statement = {
  name: "busy_schedules",
  text: `
    SELECT schedule_id, id AS run_id FROM runs
    WHERE schedule_id = ANY($1::uuid[]) AND exclusive AND parent_run_id IS NULL
      AND status IN ('pending', 'dispatched', 'running')`,
};
const COMPLETED: Statement = {
  name: "last_completed",
  text: `
    SELECT d.id, (SELECT max(completed_at) FROM runs r
      WHERE r.schedule_id = d.id AND r.status = 'completed' AND r.parent_run_id IS NULL) AS completed_at
    FROM unnest($1::uuid[]) AS d (id)`,
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
  for (const row of await tx.query<WaitingRun & { schedule_id: string }>(WAITING, [ids])) {
    waiting.set(row.schedule_id, [...(waiting.get(row.schedule_id) ?? []), row]);
  }
  const busy = await tx.query<{ schedule_id: string; run_id: string }>(BUSY, [ids]);
  const completed = await tx.query<{ id: string; completed_at: Instant | null }>(COMPLETED, [dependencies]);
  return {
    waiting,
    busy: new Map(busy.map((row) => [row.schedule_id, row.run_id])),
    completed: new Map(completed.map((row) => [row.id, row.completed_at])),
  };
}

const REQUEST_CANCEL: Statement = {
  name: "request_cancel",
  text: `
    UPDATE runs SET cancel_requested_at = pocketwatch_now(), cancel_reason = $2
    WHERE id IN (SELECT id FROM runs WHERE id = ANY($1::uuid[]) AND cancel_requested_at IS NULL AND completed_at IS NULL
                 ORDER BY id FOR NO KEY UPDATE)
    RETURNING id`,
};

/** Flags unfinished runs to be cancelled; supervise acts on the flag. Answers those that were not flagged before. */
export async function requestCancel(tx: Tx, runIds: readonly string[], reason: string): Promise<string[]> {
  if (runIds.length === 0) return [];
  const rows = await tx.query<{ id: string }>(REQUEST_CANCEL, [runIds, reason]);
  return rows.map((row) => row.id);
}
