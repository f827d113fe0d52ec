import type { Instant } from "../schedule/instant.ts";
import type { Statement, Tx } from "./connection.ts";

export interface BreakerView {
  readonly key: string;
  readonly action: string;
  readonly state: "closed" | "open" | "half_open";
  readonly failures: number;
  readonly threshold: number;
  readonly cooldown_seconds: number;
  readonly trips: number;
  readonly opened_at: Instant | null;
  readonly probe_run_id: string | null;
  readonly updated_at: Instant;
  /** Runs that wait for it. */
  readonly held: number;
}

const COLUMNS = `b.key, b.action, b.state, b.failures, b.threshold, b.cooldown_seconds, b.trips, b.opened_at, b.probe_run_id,
  b.updated_at, (SELECT count(*)::int FROM runs r
    WHERE r.breaker_key = b.key AND r.status = 'waiting' AND r.status_reason = 'breaker_open') AS held`;

const LIST: Statement = {
  name: "view_breakers",
  text: `
    SELECT ${COLUMNS} FROM breakers b
    WHERE b.key > $1 AND ($3::text[] IS NULL OR b.state = ANY($3)) ORDER BY b.key LIMIT $2`,
};
const ONE: Statement = { name: "view_breaker", text: `SELECT ${COLUMNS} FROM breakers b WHERE b.key = $1` };

/** Breakers by key. @param states null: all */
export function listBreakers(
  tx: Tx,
  after: string,
  limit: number,
  states: readonly string[] | null,
): Promise<BreakerView[]> {
  return tx.query<BreakerView>(LIST, [after, limit, states]);
}

export async function viewBreaker(tx: Tx, key: string): Promise<BreakerView | undefined> {
  const [breaker] = await tx.query<BreakerView>(ONE, [key]);
  return breaker;
}
