import type { AgendaPlace } from "./agenda-upkeep.ts";
import type { Statement, Tx } from "./connection.ts";
import { sqlIdAt } from "./least-id.ts";

const CLAIM: Statement = {
  name: "claim_retention",
  text: `
    INSERT INTO settings (key, value) VALUES ('retention', jsonb_build_object('cursor', NULL, 'finished_at', NULL))
    ON CONFLICT (key) DO UPDATE SET updated_at = clock_timestamp()
    RETURNING value->>'cursor' AS cursor, value->'swept' AS swept,
      extract(epoch FROM pocketwatch_now() - (value->>'finished_at')::timestamptz)::double precision * 1000 AS finished_ago_ms`,
};
const PROGRESS: Statement = {
  name: "note_retention",
  text: `
    UPDATE settings SET value = jsonb_build_object('cursor', $1::uuid, 'swept', $2::jsonb, 'finished_at',
      CASE WHEN $1::uuid IS NULL THEN to_jsonb(pocketwatch_now()) ELSE value->'finished_at' END)
    WHERE key = 'retention'`,
};

export interface RetentionState {
  /** Schedules up to this id have been trimmed in the round under way; null: no round is. */
  readonly cursor: string | null;
  /** The agenda has been swept up to here. */
  readonly swept: AgendaPlace | null;
  readonly finished_ago_ms: number | null;
}

/** Locks the one row that says how far the clean-up has come: instances take turns, a crash loses a chunk's progress only. */
export async function claimRetention(tx: Tx): Promise<RetentionState> {
  const [row] = await tx.query<RetentionState>(CLAIM);
  return row!;
}

/** `cursor` null: the round is finished. */
export async function noteRetention(tx: Tx, cursor: string | null, swept: AgendaPlace | null): Promise<void> {
  await tx.query(PROGRESS, [cursor, swept === null ? null : JSON.stringify(swept)]);
}

// Children go with their parent, attempts with their run; unfinished runs stay whatever their age, and so do the
// children of an unfinished parent. Ids are ordered by time, so the walk reads the old end of the primary key only.
const DELETE_OLD: Statement = {
  name: "delete_old_runs",
  text: `
    WITH old AS (
      SELECT r.id FROM runs r
      WHERE r.id < ${sqlIdAt("pocketwatch_now() - make_interval(days => $1)")}
        AND r.completed_at < pocketwatch_now() - make_interval(days => $1)
        AND (r.parent_run_id IS NULL OR NOT EXISTS (
          SELECT FROM runs p WHERE p.id = r.parent_run_id
            AND (p.completed_at IS NULL OR p.completed_at >= pocketwatch_now() - make_interval(days => $1))))
      ORDER BY r.id LIMIT $2
    ), attempts AS (
      DELETE FROM run_attempts a USING old WHERE a.run_id = old.id
    )
    DELETE FROM runs USING old WHERE runs.id = old.id RETURNING runs.id`,
};

/** Deletes up to `limit` ended runs older than so many days; answers how many. */
export async function deleteOldRuns(tx: Tx, days: number, limit: number): Promise<number> {
  return (await tx.query(DELETE_OLD, [days, limit])).length;
}

// Most schedules have fewer runs than are kept, which the index runs_schedule alone can tell; only the others' rows are read.
const TRIM: Statement = {
  name: "trim_schedules",
  text: `
    WITH chunk AS (
      SELECT id FROM schedules WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $3
    ), long AS (
      SELECT chunk.id FROM chunk, LATERAL (
        SELECT FROM runs WHERE schedule_id = chunk.id ORDER BY id DESC OFFSET $2 LIMIT 1) AS r
    ), surplus AS (
      SELECT r.id FROM long, LATERAL (
        SELECT id, completed_at FROM runs
        WHERE schedule_id = long.id AND parent_run_id IS NULL ORDER BY id DESC OFFSET $2 LIMIT $4) AS r
      WHERE r.completed_at IS NOT NULL
    ), gone AS (
      SELECT id FROM surplus
      UNION ALL SELECT c.id FROM runs c JOIN surplus s ON c.parent_run_id = s.id
    ), attempts AS (
      DELETE FROM run_attempts a USING gone WHERE a.run_id = gone.id
    ), deleted AS (
      DELETE FROM runs USING gone WHERE runs.id = gone.id RETURNING runs.id
    )
    SELECT (SELECT count(*)::int FROM deleted) AS deleted, (SELECT count(*)::int FROM surplus) AS surplus,
      (SELECT count(*)::int FROM chunk) AS schedules, (SELECT max(id::text)::uuid FROM chunk) AS last`,
};

export interface Trimmed {
  readonly deleted: number;
  readonly surplus: number;
  readonly schedules: number;
  readonly last: string | null;
}

/** Deletes ended runs beyond the newest `keep` of each of the next `chunk` schedules, `limit` per schedule at most. */
export async function trimSchedules(
  tx: Tx,
  after: string | null,
  keep: number,
  chunk: number,
  limit: number,
): Promise<Trimmed> {
  const [row] = await tx.query<Trimmed>(TRIM, [after, keep, chunk, limit]);
  return row!;
}

// Ids rise with time, near enough for what is kept for months.
const FORGET_AUDIT: Statement = {
  name: "forget_audit",
  text: `
    DELETE FROM audit a USING (SELECT id, at FROM audit ORDER BY id LIMIT $2) AS old
    WHERE a.id = old.id AND old.at < pocketwatch_now() - make_interval(days => $1)
    RETURNING a.id`,
};

/** Forgets up to `limit` audited edits older than so many days; answers how many. */
export async function forgetAudit(tx: Tx, days: number, limit: number): Promise<number> {
  return (await tx.query(FORGET_AUDIT, [days, limit])).length;
}

const FORGET_REQUESTS: Statement = {
  name: "forget_requests",
  text: `
    DELETE FROM requests WHERE id IN (
      SELECT id FROM requests WHERE status <> 'pending' AND created_at < pocketwatch_now() - interval '24 hours'
      ORDER BY created_at LIMIT $1) RETURNING id`,
};

/** Forgets answered requests (idempotency keys among them) after 24 h; answers how many. */
export async function forgetRequests(tx: Tx, limit: number): Promise<number> {
  return (await tx.query(FORGET_REQUESTS, [limit])).length;
}
