import type { Statement, Tx } from "./connection.ts";
import { type NewLease, PUBLISHABLE_COLUMNS, type PublishableRun } from "./leases.ts";

/** A pool that may hand out runs now, and how many; null: as many as wanted. */
export interface PoolRoom {
  readonly name: string;
  readonly room: number | null;
}

/** What stands in the index runs_lanes. */
const LANE = "r.status = 'pending' AND r.child_total IS NULL AND r.cancel_requested_at IS NULL";

// Only capped pools with something due are locked, in name order, so that two instances cannot both fill the same gap.
// ORDER BY, though any row would do: with a bare LIMIT 1 the planner bets on a match early in a scan of the whole table.
const LOCK_CAPPED: Statement = {
  name: "lock_capped_pools",
  text: `
    SELECT p.name, p.max_in_flight FROM pools p
    WHERE NOT p.drained AND p.max_in_flight IS NOT NULL
      AND EXISTS (
        SELECT FROM (VALUES (1), (2), (3)) AS l (priority), LATERAL (
          SELECT FROM runs r
          WHERE ${LANE} AND r.pool = p.name AND r.priority = l.priority AND r.available_at <= pocketwatch_now()
          ORDER BY r.available_at, r.id LIMIT 1) AS h)
    ORDER BY p.name FOR NO KEY UPDATE`,
};
// Counted in the statement after the lock, whose snapshot sees what the previous holder committed.
const COUNT_IN_FLIGHT: Statement = {
  name: "count_in_flight",
  text: `
    SELECT pool AS name, count(*)::int AS in_flight FROM runs
    WHERE pool = ANY($1::text[]) AND status IN ('dispatched', 'running') AND child_total IS NULL
    GROUP BY pool`,
};
const UNCAPPED: Statement = {
  name: "uncapped_pools",
  text: "SELECT name FROM pools WHERE NOT drained AND max_in_flight IS NULL ORDER BY name",
};

/** Pools with room. Takes the lock of every capped pool with work, until the end of the transaction. */
export async function poolsWithRoom(tx: Tx): Promise<PoolRoom[]> {
  const uncapped = await tx.query<{ name: string }>(UNCAPPED);
  const open: PoolRoom[] = uncapped.map(({ name }) => ({ name, room: null }));
  const capped = await tx.query<{ name: string; max_in_flight: number }>(LOCK_CAPPED);
  if (capped.length === 0) return open;
  const counts = await tx.query<{ name: string; in_flight: number }>(COUNT_IN_FLIGHT, [
    capped.map((pool) => pool.name),
  ]);
  const inFlight = new Map(counts.map((row) => [row.name, row.in_flight]));
  for (const pool of capped) {
    const room = pool.max_in_flight - (inFlight.get(pool.name) ?? 0);
    if (room > 0) open.push({ name: pool.name, room });
  }
  return open;
}

// One lane per pool and priority, each read from the head of its index in due order, merged by due time less a head
// start for the higher priorities. The head start is the ageing: a low run that has waited ten minutes longer than a
// high one goes first. So a claim costs O(batch), however many runs wait.
const CLAIM: Statement = {
  name: "claim_pending",
  text: `
    WITH lanes AS (
      SELECT p.name AS pool, l.priority, l.head_start, least(coalesce(p.room, $3), $3) AS room
      FROM unnest($1::text[], $2::int[]) AS p (name, room),
        (VALUES (1, interval '10 minutes'), (2, interval '5 minutes'), (3, interval '0')) AS l (priority, head_start)
    ), heads AS (
      SELECT h.id, lanes.pool, h.available_at - lanes.head_start AS turn, lanes.room
      FROM lanes, LATERAL (
        SELECT r.id, r.available_at FROM runs r
        WHERE ${LANE} AND r.pool = lanes.pool AND r.priority = lanes.priority AND r.available_at <= pocketwatch_now()
        ORDER BY r.available_at, r.id LIMIT lanes.room
        FOR UPDATE SKIP LOCKED) AS h
    ), ranked AS (
      SELECT id, turn, room, row_number() OVER (PARTITION BY pool ORDER BY turn, id) AS place FROM heads
    ), chosen AS (
      SELECT id FROM ranked WHERE place <= room ORDER BY turn, id LIMIT $3
    ), dispatched AS (
      UPDATE runs r SET status = 'dispatched', status_reason = NULL, dispatched_at = pocketwatch_now()
      FROM chosen WHERE r.id = chosen.id
      RETURNING ${PUBLISHABLE_COLUMNS}, r.available_at, r.breaker_key, pocketwatch_now() AS now
    ), leased AS (
      INSERT INTO leases (id, instance, run_ids, lease_until)
      SELECT $4::uuid, $5, array_agg(id), pocketwatch_now() + interval '15 seconds'
      FROM dispatched HAVING count(*) > 0
    )
    SELECT * FROM dispatched ORDER BY priority, available_at, id`,
};

export interface Claimed extends PublishableRun {
  readonly breaker_key: string | null;
  readonly now: number;
}

/** Takes up to `limit` runs from the pools, in turn, and commits them to the lease. */
export function claimPending(tx: Tx, pools: readonly PoolRoom[], limit: number, lease: NewLease): Promise<Claimed[]> {
  return tx.query<Claimed>(CLAIM, [
    pools.map((pool) => pool.name),
    pools.map((pool) => pool.room),
    limit,
    lease.id,
    lease.instance,
  ]);
}

const NEXT_AVAILABLE: Statement = {
  name: "next_available",
  text: `
    SELECT min(extract(epoch FROM h.available_at - pocketwatch_now()))::double precision * 1000 AS next_in_ms
    FROM pools p, (VALUES (1), (2), (3)) AS l (priority), LATERAL (
      SELECT r.available_at FROM runs r
      WHERE ${LANE} AND r.pool = p.name AND r.priority = l.priority AND r.available_at > pocketwatch_now()
      ORDER BY r.available_at LIMIT 1) AS h
    WHERE NOT p.drained`,
};

/** Milliseconds until the next run leaves its backoff or jitter; null: none is waiting for that. */
export async function nextAvailableIn(tx: Tx): Promise<number | null> {
  const [row] = await tx.query<{ next_in_ms: number | null }>(NEXT_AVAILABLE);
  return row!.next_in_ms;
}
