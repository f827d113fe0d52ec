import type { Statement, Tx } from "./connection.ts";
import { STATE } from "./schedule-queries.ts";

export interface BreakerMeasure {
  readonly key: string;
  readonly action: string;
  readonly state: "open" | "half_open";
}

export interface Measurements {
  readonly schedules: ReadonlyMap<string, number>;
  readonly breakers: ReadonlyMap<string, number>;
  readonly trips: ReadonlyMap<string, number>;
  /** Those that are not closed, worst first. */
  readonly open_breakers: readonly BreakerMeasure[];
}

const SCHEDULES: Statement = {
  name: "measure_schedules",
  text: `SELECT ${STATE} AS name, count(*)::int AS count FROM schedules s GROUP BY 1`,
};
const BREAKERS: Statement = {
  name: "measure_breakers",
  text: "SELECT state AS name, count(*)::int AS count FROM breakers GROUP BY 1",
};
const TRIPS: Statement = {
  name: "measure_trips",
  text: "SELECT action AS name, sum(trips)::int AS count FROM breakers GROUP BY 1",
};
// A label per host that fails right now, not per host there is.
const OPEN: Statement = {
  name: "measure_open_breakers",
  text: "SELECT key, action, state FROM breakers WHERE state <> 'closed' ORDER BY opened_at NULLS LAST, key LIMIT 200",
};

/** Figures that are counted when somebody asks for them, rather than kept. */
export async function measure(tx: Tx): Promise<Measurements> {
  return {
    schedules: counts(await tx.query(SCHEDULES)),
    breakers: counts(await tx.query(BREAKERS)),
    trips: counts(await tx.query(TRIPS)),
    open_breakers: await tx.query<BreakerMeasure>(OPEN),
  };
}

function counts(rows: readonly { readonly name: string; readonly count: number }[]): Map<string, number> {
  return new Map(rows.map(({ name, count }) => [name, count]));
}
