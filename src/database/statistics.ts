import { type Instant, toPostgres } from "../schedule/instant.ts";
import type { Statement, Tx } from "./connection.ts";
import { idAt } from "./least-id.ts";

/** Of a set of durations, seconds; null where there is none. */
export interface Spread {
  readonly count: number;
  readonly average: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface Statistics {
  readonly by_status: Readonly<Record<string, number>>;
  readonly by_reason: Readonly<Record<string, number>>;
  /** From started to the end, of runs that completed or failed. */
  readonly duration: Spread;
  /** From the nominal instant to the record of the run, of those that their schedule made. */
  readonly lateness: Spread;
}

// One schedule's runs lie together in an index of their own; a condition that may also be none would not be served by it.
const window = (schedule: string) => `
  FROM runs r
  WHERE r.id >= $2::uuid AND r.id < $3::uuid AND r.scheduled_for >= $4 AND r.scheduled_for < $5
    AND r.parent_run_id IS NULL AND ${schedule}`;
const SCOPES = { all: window("$1::uuid IS NULL"), one: window("r.schedule_id = $1") };
const counts = (scope: keyof typeof SCOPES): Statement => ({
  name: `run_counts_${scope}`,
  text: `SELECT r.status, r.status_reason, count(*)::int AS count ${SCOPES[scope]} GROUP BY 1, 2`,
});
const spreads = (scope: keyof typeof SCOPES): Statement => ({
  name: `run_spreads_${scope}`,
  text: `
    WITH measured AS MATERIALIZED (
      SELECT
        CASE WHEN r.status IN ('completed', 'failed') THEN extract(epoch FROM r.completed_at - r.started_at) END AS duration,
        CASE WHEN r.trigger_type = 'scheduled' AND r.status <> 'skipped'
          THEN greatest(0, extract(epoch FROM r.created_at - r.scheduled_for)) END AS lateness
      ${SCOPES[scope]}
    )
    SELECT
      count(duration)::int AS duration_count, avg(duration)::double precision AS duration_average,
      percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration::double precision) AS duration_percentiles,
      count(lateness)::int AS lateness_count, avg(lateness)::double precision AS lateness_average,
      percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY lateness::double precision) AS lateness_percentiles
    FROM measured`,
});

interface SpreadRow {
  readonly duration_count: number;
  readonly duration_average: number | null;
  readonly duration_percentiles: readonly (number | null)[] | null;
  readonly lateness_count: number;
  readonly lateness_average: number | null;
  readonly lateness_percentiles: readonly (number | null)[] | null;
}

/** What became of the top-level runs whose nominal instant lies in the window, of one schedule or of all. */
export async function statistics(
  tx: Tx,
  scheduleId: string | null,
  window: { readonly from: Instant; readonly to: Instant },
): Promise<Statistics> {
  const { from, to } = window;
  const values = [scheduleId, idAt(from), idAt(to), toPostgres(from), toPostgres(to)];
  const scope = scheduleId === null ? "all" : "one";
  const ends = await tx.query<{ status: string; status_reason: string | null; count: number }>(counts(scope), values);
  const [row] = await tx.query<SpreadRow>(spreads(scope), values);
  return {
    by_status: tally(ends.map(({ status, count }) => [status, count])),
    by_reason: tally(
      ends.flatMap(({ status_reason, count }) => (status_reason === null ? [] : [[status_reason, count]])),
    ),
    duration: spread(row!.duration_count, row!.duration_average, row!.duration_percentiles),
    lateness: spread(row!.lateness_count, row!.lateness_average, row!.lateness_percentiles),
  };
}

function tally(counts: readonly (readonly [string, number])[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, count] of counts) sums[name] = (sums[name] ?? 0) + count;
  return sums;
}

function spread(count: number, average: number | null, percentiles: readonly (number | null)[] | null): Spread {
  const [p50 = null, p95 = null, p99 = null] = percentiles ?? [];
  return { count, average, p50, p95, p99 };
}
