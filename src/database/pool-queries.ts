import type { Statement, Tx } from "./connection.ts";

/** A pool with what is going on in it. */
export interface PoolView {
  readonly name: string;
  readonly max_in_flight: number | null;
  readonly drained: boolean;
  readonly in_flight: number;
  /** Runs to be dispatched, by priority: due now, in backoff or jittered. */
  readonly high: number;
  readonly normal: number;
  readonly low: number;
}

// Each count reads a partial index of what is in flight or pending, never the history.
const VIEW = `
  SELECT p.name, p.max_in_flight, p.drained,
    (SELECT count(*)::int FROM runs r
     WHERE r.pool = p.name AND r.status IN ('dispatched', 'running') AND r.child_total IS NULL) AS in_flight,
    coalesce(w.high, 0) AS high, coalesce(w.normal, 0) AS normal, coalesce(w.low, 0) AS low
  FROM pools p, LATERAL (
    SELECT (count(*) FILTER (WHERE r.priority = 1))::int AS high, (count(*) FILTER (WHERE r.priority = 2))::int AS normal,
      (count(*) FILTER (WHERE r.priority = 3))::int AS low
    FROM runs r
    WHERE r.pool = p.name AND r.status = 'pending' AND r.child_total IS NULL AND r.cancel_requested_at IS NULL) AS w`;

const LIST: Statement = { name: "view_pools", text: `${VIEW} WHERE p.name > $1 ORDER BY p.name LIMIT $2` };
const ONE: Statement = { name: "view_pool", text: `${VIEW} WHERE p.name = $1` };

export function listPools(tx: Tx, after: string, limit: number): Promise<PoolView[]> {
  return tx.query<PoolView>(LIST, [after, limit]);
}

export async function viewPool(tx: Tx, name: string): Promise<PoolView | undefined> {
  const [pool] = await tx.query<PoolView>(ONE, [name]);
  return pool;
}

const PUT: Statement = {
  name: "put_pool",
  text: `
    INSERT INTO pools (name, max_in_flight) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET max_in_flight = excluded.max_in_flight, updated_at = clock_timestamp()
    RETURNING xmax = 0 AS created`,
};

/** Makes a pool, or changes its cap; answers whether it is new. null: no cap. */
export async function putPool(tx: Tx, name: string, maxInFlight: number | null): Promise<boolean> {
  const [row] = await tx.query<{ created: boolean }>(PUT, [name, maxInFlight]);
  return row!.created;
}

const DRAIN: Statement = {
  name: "drain_pool",
  text: "UPDATE pools SET drained = $2, updated_at = clock_timestamp() WHERE name = $1 RETURNING name",
};

/** Answers false where there is no such pool. */
export async function setPoolDrained(tx: Tx, name: string, drained: boolean): Promise<boolean> {
  return (await tx.query(DRAIN, [name, drained])).length > 0;
}
