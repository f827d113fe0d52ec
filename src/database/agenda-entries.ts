import { randomUUID } from "node:crypto";
import { type Instant, toPostgres } from "../schedule/instant.ts";
import type { Queryable, Statement, Tx } from "./connection.ts";

/** Most schedules of an entry: it fits into a page uncompressed (2 kB), and is the portion by which instances share a burst. */
export const ENTRY_SIZE = 100;

/**
 * Answers, schedule by schedule, the id of the entry that each goes into; null: none, since it is not due again. Those of an
 * instant, however it is given, share one.
 */
export function newEntries<At extends Instant | string>(): (next_run_at: At | null) => string | null {
  const open = new Map<At, { readonly id: string; size: number }>();
  return (next_run_at) => {
    if (next_run_at === null) return null;
    let entry = open.get(next_run_at);
    if (entry === undefined || entry.size === ENTRY_SIZE) {
      entry = { id: randomUUID(), size: 0 };
      open.set(next_run_at, entry);
    }
    entry.size += 1;
    return entry.id;
  };
}

// Entries are locked as they are drawn, so no more than are needed: other instances take the next ones.
const TAKE_DUE: Statement = {
  name: "take_due",
  text: `
    DELETE FROM agenda WHERE ctid = ANY (ARRAY(
      SELECT a.place
      FROM (
        SELECT ctid AS place, schedule_ids FROM agenda WHERE next_run_at <= pocketwatch_now()
        ORDER BY next_run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
      ) AS a, unnest(a.schedule_ids)
      LIMIT $1))
    RETURNING schedule_ids`,
};

/**
 * Takes due entries with at least so many schedules off the agenda, the earliest ones that nobody else is at; answers their
 * schedules. Those that the caller does not move on are to be put back.
 */
export async function takeDue(tx: Tx, schedules: number): Promise<ReadonlySet<string>> {
  const entries = await tx.query<{ schedule_ids: string[] }>(TAKE_DUE, [schedules]);
  return new Set(entries.flatMap((entry) => entry.schedule_ids));
}

const PUT_BACK: Statement = {
  name: "put_back",
  text: `
    INSERT INTO agenda (next_run_at, schedule_ids)
    SELECT pocketwatch_now() + $2 * interval '1 millisecond', array_agg(id)
    FROM (SELECT s.id, (row_number() OVER () - 1) / ${ENTRY_SIZE} AS entry FROM schedules s
          WHERE s.id = ANY($1::uuid[]) AND s.next_run_at <= pocketwatch_now()) AS due
    GROUP BY entry`,
};

/**
 * Puts schedules whose entries were taken back on the agenda, unless they are due later by now: to be looked at in so many ms,
 * behind what is due already.
 */
export async function putBack(tx: Tx, schedules: readonly string[], in_ms: number): Promise<void> {
  if (schedules.length > 0) await tx.query(PUT_BACK, [schedules, in_ms]);
}

const SOON_DUE: Statement = {
  name: "soon_due",
  text: `
    SELECT id, next_run_at, array_agg(schedule_id) AS schedule_ids
    FROM (
      SELECT a.id, a.next_run_at, e.schedule_id
      FROM (SELECT * FROM agenda WHERE next_run_at BETWEEN $1 AND $2 ORDER BY next_run_at, id LIMIT $3) AS a,
        unnest(a.schedule_ids) AS e (schedule_id)
      LIMIT $3
    ) AS soon
    GROUP BY next_run_at, id
    ORDER BY next_run_at, id`,
};

/** Schedules that are to be looked at together. */
export interface AgendaEntry {
  readonly id: string;
  readonly next_run_at: Instant;
  readonly schedule_ids: readonly string[];
}

/** What stands on the agenda from `from` to `until`: the entries of the earliest so many schedules, of the last one perhaps a part. */
export function findSoonDue(
  database: Queryable,
  from: Instant,
  until: Instant,
  schedules: number,
): Promise<AgendaEntry[]> {
  return database.query(SOON_DUE, [toPostgres(from), toPostgres(until), schedules]);
}

/**
 * The schedules `s` that are to be fired now, as a table, of a backlog the first so many. What is held by somebody stands up to three
 * seconds ahead, to be looked at again.
 */
export const dueSchedules = (most: number | "ALL") => `(
  SELECT s.* FROM schedules s
  WHERE s.id IN (
      SELECT e.id
      FROM (SELECT schedule_ids FROM agenda WHERE next_run_at <= pocketwatch_now() + interval '3 seconds'
            ORDER BY next_run_at, id LIMIT ${most}) AS a, unnest(a.schedule_ids) AS e (id)
      LIMIT ${most})
    AND s.next_run_at <= pocketwatch_now() AND s.enabled AND NOT s.needs_planning)`;

// Not as an interval: before Postgres 17 nothing could be subtracted from an infinite instant, which somebody may have written.
export const NEXT_DUE_IN = `(
  SELECT (extract(epoch FROM next_run_at) - extract(epoch FROM pocketwatch_now()))::double precision * 1000
  FROM agenda ORDER BY next_run_at, id LIMIT 1)`;

const NEXT_DUE: Statement = { name: "next_due", text: `SELECT ${NEXT_DUE_IN} AS next_in_ms` };

/** Milliseconds to the next instant on the agenda (negative: it has passed), as a duration, so that no two clocks meet; null: none. */
export async function nextDueIn(tx: Tx): Promise<number | null> {
  const [row] = await tx.query<{ next_in_ms: number | null }>(NEXT_DUE);
  return row!.next_in_ms;
}
