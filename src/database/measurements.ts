import { dueSchedules } from "./agenda-entries.ts";
import type { Statement, Tx } from "./connection.ts";
import { IMPLIED, STATE } from "./schedule-queries.ts";
import { HELD } from "./settings.ts";

/*
 * Figures for a scrape. Each reads a partial index of what is open, and stops counting at MOST_COUNTED: a scrape costs the
 * same with a thousand runs waiting and with a million.
 */
export const MOST_COUNTED = 10_000;

export interface OpenMeasure {
  readonly drained: boolean;
  readonly overdue_seconds: number;
  readonly waiting: number;
  readonly leases: number;
  readonly outbox: number;
  /** Heard of within the last 90 seconds. */
  readonly instances: number;
}

const most = (rows: string) => `(SELECT count(*)::int FROM (SELECT ${rows} LIMIT ${MOST_COUNTED}) AS counted)`;

const OPEN: Statement = {
  name: "measure_open",
  text: `
    SELECT ${HELD} AS drained,
      (SELECT coalesce(extract(epoch FROM pocketwatch_now()) - extract(epoch FROM min(next_run_at)), 0)::double precision
       FROM ${dueSchedules(MOST_COUNTED)} AS s) AS overdue_seconds,
      ${most("FROM runs WHERE status = 'waiting' AND parent_run_id IS NULL")} AS waiting,
      ${most("FROM leases")} AS leases,
      ${most("FROM outbox")} AS outbox,
      (SELECT count(*)::int FROM instances WHERE last_seen_at > pocketwatch_now() - interval '90 seconds') AS instances`,
};

export interface PoolMeasure {
  readonly name: string;
  readonly max_in_flight: number | null;
  readonly drained: boolean;
  readonly in_flight: number;
  readonly high: number;
  readonly normal: number;
  readonly low: number;
  /** How long the run that waits longest could have been dispatched. */
  readonly oldest_seconds: number;
}

// A label per pool: a thousand of them is more than anybody looks at.
const pending = (priority: number) =>
  most(`FROM runs r WHERE r.pool = p.name AND r.priority = ${priority} AND r.status = 'pending' AND r.child_total IS NULL
    AND r.cancel_requested_at IS NULL`);
// The index's first entry of each priority, rather than the least of all.
const oldest = (priority: number) => `
  (SELECT r.available_at FROM runs r
   WHERE r.pool = p.name AND r.priority = ${priority} AND r.status = 'pending' AND r.child_total IS NULL
     AND r.cancel_requested_at IS NULL AND r.available_at <= pocketwatch_now()
   ORDER BY r.pool, r.priority, r.available_at, r.id LIMIT 1)`;
const POOLS: Statement = {
  name: "measure_pools",
  text: `
    SELECT p.name, p.max_in_flight, p.drained,
      ${most("FROM runs r WHERE r.pool = p.name AND r.status IN ('dispatched', 'running') AND r.child_total IS NULL")}
        AS in_flight,
      ${pending(1)} AS high, ${pending(2)} AS normal, ${pending(3)} AS low,
      coalesce(extract(epoch FROM pocketwatch_now() - least(${oldest(1)}, ${oldest(2)}, ${oldest(3)})), 0)::double precision
        AS oldest_seconds
    FROM (SELECT name, max_in_flight, drained FROM pools ORDER BY name LIMIT 1000) AS p`,
};

// In the index of a state may lie schedules of another one; the rest of all is active. Postgres knows about how many there are
// in all, and counts them while they are few.
const inState = (state: "problem" | "disabled" | "paused" | "finished") => `
  (SELECT count(*)::int FROM (SELECT ${STATE} AS state FROM schedules s WHERE ${IMPLIED[state]} LIMIT ${MOST_COUNTED}) AS seen
   WHERE seen.state = '${state}')`;
const SCHEDULES: Statement = {
  name: "measure_schedules",
  text: `
    WITH counted AS MATERIALIZED (
      SELECT ${most("FROM schedules")} AS seen, ${inState("problem")} AS problem, ${inState("disabled")} AS disabled,
        ${inState("paused")} AS paused, ${inState("finished")} AS finished)
    SELECT problem, disabled, paused, finished,
      greatest(0, CASE WHEN seen < ${MOST_COUNTED} THEN seen
        ELSE greatest(seen, (SELECT reltuples::int FROM pg_class WHERE oid = 'schedules'::regclass)) END
        - problem - disabled - paused - finished) AS active
    FROM counted`,
};

export interface BreakerMeasure {
  readonly key: string;
  readonly action: string;
  readonly state: "open" | "half_open";
}

// A label per host that fails right now, not per host there is; worst first.
const BREAKERS: Statement = {
  name: "measure_open_breakers",
  text: "SELECT key, action, state FROM breakers WHERE state <> 'closed' ORDER BY opened_at NULLS LAST, key LIMIT 200",
};

export interface Measurements extends OpenMeasure {
  readonly schedules: Readonly<Record<string, number>>;
  readonly pools: readonly PoolMeasure[];
  readonly open_breakers: readonly BreakerMeasure[];
}

/** Figures that are read when somebody asks for them, rather than kept. */
export async function measure(tx: Tx): Promise<Measurements> {
  const [open] = await tx.query<OpenMeasure>(OPEN);
  const [schedules] = await tx.query<Record<string, number>>(SCHEDULES);
  return { ...open!, schedules: schedules!, pools: await tx.query(POOLS), open_breakers: await tx.query(BREAKERS) };
}

export interface Census {
  readonly breakers: ReadonlyMap<string, number>;
  readonly trips: ReadonlyMap<string, number>;
}

const BREAKER_STATES: Statement = {
  name: "census_breakers",
  text: "SELECT state AS name, count(*)::int AS count FROM breakers GROUP BY 1",
};
const TRIPS: Statement = {
  name: "census_trips",
  text: "SELECT action AS name, sum(trips)::int AS count FROM breakers GROUP BY 1",
};

/** Figures that need every breaker to be looked at: not for every scrape. */
export async function census(tx: Tx): Promise<Census> {
  return {
    breakers: counts(await tx.query(BREAKER_STATES)),
    trips: counts(await tx.query(TRIPS)),
  };
}

function counts(rows: readonly { readonly name: string; readonly count: number }[]): Map<string, number> {
  return new Map(rows.map(({ name, count }) => [name, count]));
}
