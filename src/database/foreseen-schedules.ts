import { type Instant, toPostgres } from "../schedule/instant.ts";
import { NEXT_DUE_IN } from "./agenda-entries.ts";
import type { Queryable, Statement } from "./connection.ts";
import { type AsText, BUSY, DUE_COLUMNS, type DueSchedule, shareResolved, WAITING } from "./due-schedules.ts";
import type { NewLease } from "./leases.ts";
import { HELD } from "./settings.ts";

/** A schedule read before it is due, and which version of its row that was (`xmin`): any change of the row changes it. */
export interface SoonDue extends DueSchedule {
  readonly version: string;
}

const LOOK_AHEAD: Statement = {
  name: "look_ahead",
  text: `
    SELECT ${DUE_COLUMNS}, s.xmin::text AS version FROM schedules s
    WHERE s.id = ANY($1::uuid[]) AND s.next_run_at > pocketwatch_now() AND s.enabled AND NOT s.needs_planning`,
};

/** Those of the schedules that are not due yet, but will be. Locks nothing. */
export async function readSoonDue(database: Queryable, ids: readonly string[]): Promise<SoonDue[]> {
  return shareResolved(await database.query<AsText<SoonDue>>(LOOK_AHEAD, [ids]));
}

const FIRING_STATE: Statement = {
  name: "firing_state",
  text: `SELECT pocketwatch_now() AS now, ${NEXT_DUE_IN} AS next_in_ms`,
};

/** The database's instant, and how many ms after it the agenda has its next entry (negative: overdue; null: none). */
export async function firingState(database: Queryable): Promise<{ now: Instant; next_in_ms: number | null }> {
  const [row] = await database.query<{ now: Instant; next_in_ms: number | null }>(FIRING_STATE);
  return row!;
}

/** One schedule as it is to be fired. */
export interface ForeseenFiring {
  readonly schedule_id: string;
  readonly version: string;
  readonly run_id: string;
  /** As Postgres reads it. */
  readonly next_run_at: string | null;
  /** The entry of the agenda by which it is due now. */
  readonly entry: string;
}

// One statement, one visit of each row. Whatever was decided ahead holds as long as the row is the very version it was
// decided on: enabled, planned, due then. What that version cannot tell (the pool, the brake, an unfinished run, another
// instant that has passed meanwhile) is asked here. Everything else is left as it is, still due, for the pass that claims
// and decides.
//
// An entry of the agenda goes to whoever locks it, so that instances that are up to the same burst do not meet at each
// schedule. Those of its schedules that could not be fired go back there, for the pass that claims.
//
// The planner expects ten rows from a CTE, and would join a thousand with a thousand by a nested loop. So the schedule is updated
// by ctid, where it was locked a moment ago, and "IS TRUE" keeps the look into `taken` from becoming a join: it stays a hash.
//
// No ON CONFLICT either: an unfinished run, or this very run, that has come between is rare, and asking for it before each
// insertion cost a tenth of the statement. It breaks a unique index instead, and all of the batch is left to be claimed.
const FIRE_FORESEEN: Statement = {
  name: "fire_foreseen",
  text: `
    WITH taken AS MATERIALIZED (
      SELECT a.ctid AS place, a.id, a.next_run_at, a.schedule_ids
      FROM unnest($9::timestamptz[], $10::uuid[]) AS e (next_run_at, id)
      JOIN agenda a ON a.next_run_at = e.next_run_at AND a.id = e.id
      FOR UPDATE OF a SKIP LOCKED
    ), due AS MATERIALIZED (
      SELECT s.ctid AS place, s.id, s.name, s.action, s.action_version, s.payload, s.next_run_at AS scheduled_for, s.resolved,
        f.run_id, f.next_run_at, f.next_entry
      FROM unnest($1::uuid[], $2::xid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::uuid[])
        AS f (schedule_id, version, run_id, next_run_at, entry, next_entry)
      JOIN schedules s ON s.id = f.schedule_id
      WHERE s.xmin = f.version
        AND (f.entry IN (SELECT id FROM taken)) IS TRUE
        AND (f.next_run_at IS NULL OR f.next_run_at > pocketwatch_now())
        AND s.resolved->>'pool' IN (SELECT name FROM pools WHERE max_in_flight IS NULL AND NOT drained)
        AND NOT ${HELD}
        AND (s.resolved->>'overlap' = 'allow' OR (${BUSY} IS NULL AND ${WAITING} IS NULL))
      FOR NO KEY UPDATE OF s SKIP LOCKED
    ), inserted AS (
      INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, payload, trigger_type, triggered_by,
        scheduled_for, priority, pool, policy, exclusive, status, available_at, deadline_at, created_at, dispatched_at)
      SELECT d.run_id, d.id, d.name, d.action, d.action_version, d.payload, 'scheduled', d.name, d.scheduled_for,
        (d.resolved->>'priority')::smallint, d.resolved->>'pool', d.resolved, d.resolved->>'overlap' <> 'allow', 'dispatched',
        d.scheduled_for, pocketwatch_now() + (d.resolved->>'start_deadline_seconds')::int * interval '1 second',
        pocketwatch_now(), pocketwatch_now()
      FROM due d
      RETURNING id
    ), leased AS (
      INSERT INTO leases (id, instance, run_ids, lease_until)
      SELECT $7::uuid, $8, array_agg(id), pocketwatch_now() + interval '15 seconds'
      FROM inserted HAVING count(*) > 0
    ), advanced AS (
      UPDATE schedules s
      SET next_run_at = d.next_run_at, not_due = d.next_run_at IS NULL, entered_by = pg_current_xact_id(),
        last_occurrence_at = d.scheduled_for, last_run_id = d.run_id,
        last_run_at = pocketwatch_now(), run_count = s.run_count + 1
      FROM due d WHERE s.ctid = d.place
    ), entered AS (
      INSERT INTO agenda (next_run_at, id, schedule_ids)
      SELECT next_run_at, next_entry, array_agg(id) FROM due WHERE next_run_at IS NOT NULL GROUP BY next_run_at, next_entry
    ), left_over AS (
      INSERT INTO agenda (next_run_at, schedule_ids)
      SELECT t.next_run_at, array_agg(e.id) FROM taken t, unnest(t.schedule_ids) AS e (id)
      WHERE (SELECT sum(cardinality(schedule_ids)) FROM taken) > (SELECT count(*) FROM due)
        AND e.id NOT IN (SELECT id FROM due)
      GROUP BY t.next_run_at, t.id
    ), crossed_off AS (
      DELETE FROM agenda a USING taken t WHERE a.ctid = t.place
    )
    SELECT pocketwatch_now() AS now, pg_current_xact_id()::xid::text AS version,
      CASE WHEN (SELECT count(*) FROM inserted) < cardinality($1) THEN ARRAY(SELECT id FROM inserted) END AS run_ids`,
};

export interface ForeseenFired {
  readonly now: Instant;
  /** The version that the rows of the fired schedules have from now on. */
  readonly version: string;
  /** The runs that now exist, of the schedules that were unchanged and free; null: all of them. */
  readonly run_ids: readonly string[] | null;
}

/**
 * Fires foreseen schedules whose instants have come, as they were foreseen; says which could be.
 * @param entries the entries of the agenda that they are due by
 * @param next_entries the entry that each will be due by next; null: it is not due again
 * @throws DatabaseError `isDataError`: something raced, or a row is damaged
 */
export async function fireForeseen(
  database: Queryable,
  lease: NewLease,
  firings: readonly ForeseenFiring[],
  next_entries: readonly (string | null)[],
  entries: readonly { readonly id: string; readonly next_run_at: Instant }[],
): Promise<ForeseenFired> {
  const [row] = await database.query<ForeseenFired>(FIRE_FORESEEN, [
    list(firings, (firing) => firing.schedule_id),
    list(firings, (firing) => firing.version),
    list(firings, (firing) => firing.run_id),
    list(firings, (firing) => firing.next_run_at ?? "NULL"),
    list(firings, (firing) => firing.entry),
    list(next_entries, (entry) => entry ?? "NULL"),
    lease.id,
    lease.instance,
    list(entries, (entry) => toPostgres(entry.next_run_at)),
    list(entries, (entry) => entry.id),
  ]);
  return row!;
}

// An array literal of values that need no quotes; node-postgres would look for characters to escape in each.
function list<T>(items: readonly T[], text: (item: T) => string): string {
  return `{${items.map(text).join(",")}}`;
}
