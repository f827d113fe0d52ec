import type pg from "pg";
import { connected } from "./databases.ts";

/** Schedules that have a history. */
export const SCHEDULES = 100_000;
const CHUNK = 500_000;

export interface Filled {
  readonly added: number;
  readonly total: number;
  readonly seconds: number;
}

/**
 * Adds ended runs, up to `wanted` in the table and `most` in this call, oldest first: one of a hundred failed, one skipped,
 * the others completed, with what a consumer and fire would have left in their columns. The secondary indexes are built at
 * the end, which takes a fifth of the time that keeping them up would.
 *
 * @param schedules so many of the schedules have a history, the same number of runs each
 */
export async function fillHistory(url: string, wanted: number, schedules: number, most = wanted): Promise<Filled> {
  const sql = await connected(url);
  const began = performance.now();
  await sql.query("CREATE TABLE IF NOT EXISTS bench_filled (runs bigint NOT NULL, since timestamptz NOT NULL)");
  await sql.query("INSERT INTO bench_filled SELECT 0, now() WHERE NOT EXISTS (SELECT FROM bench_filled)");
  const { rows } = await sql.query<{ runs: string }>("SELECT runs FROM bench_filled");
  let total = Number(rows[0]!.runs);
  const first = total;
  if (total < wanted) await dropIndexes(sql);
  while (total < wanted && total - first < most) {
    const to = Math.min(wanted, total + CHUNK);
    await sql.query("BEGIN");
    await sql.query(FILL, [total, to - 1, wanted, schedules]);
    await sql.query("UPDATE bench_filled SET runs = $1", [to]);
    await sql.query("COMMIT");
    total = to;
  }
  if (total >= wanted) await restoreIndexes(sql);
  const added = total - first;
  await sql.end();
  return { added, total, seconds: (performance.now() - began) / 1_000 };
}

/** They are written down, because the filling may go on in another process. */
async function dropIndexes(sql: pg.Client): Promise<void> {
  await sql.query("CREATE TABLE IF NOT EXISTS bench_indexes (name text PRIMARY KEY, definition text NOT NULL)");
  await sql.query(
    "INSERT INTO bench_indexes SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'runs' AND indexname <> 'runs_pkey'",
  );
  for (const { name } of await writtenDown(sql)) await sql.query(`DROP INDEX IF EXISTS ${name}`);
}

async function restoreIndexes(sql: pg.Client): Promise<void> {
  const { rowCount } = await sql.query("SELECT FROM pg_tables WHERE tablename = 'bench_indexes'");
  if (rowCount === 0) return;
  await sql.query("SET maintenance_work_mem = '1GB'");
  for (const { name, definition } of await writtenDown(sql)) {
    await sql.query(definition);
    await sql.query("DELETE FROM bench_indexes WHERE name = $1", [name]);
  }
  await sql.query("VACUUM ANALYZE runs");
  await sql.query("DROP TABLE bench_indexes");
}

async function writtenDown(sql: pg.Client): Promise<{ name: string; definition: string }[]> {
  return (await sql.query<{ name: string; definition: string }>("SELECT name, definition FROM bench_indexes")).rows;
}

const POLICY = `{"pool": "scouts", "overlap": "skip", "priority": 2, "notify_on": ["failed"], "max_attempts": 3,
  "timeout_seconds": 7200, "heartbeat_seconds": 60, "retry_backoff_seconds": 30, "start_deadline_seconds": 86400,
  "retry_backoff_multiplier": 2, "retry_backoff_max_seconds": 3600}`;

// The time bits of an id are the nominal instant's, as of every scheduled run. The seconds after it are those of a run that
// starts within one and takes a minute.
const FILL = `
  INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, payload, trigger_type, triggered_by,
    scheduled_for, pool, policy, exclusive, status, status_reason, error_message, available_at, progress,
    progress_sequence, metrics, worker, created_at, dispatched_at, started_at, heartbeat_at, completed_at)
  SELECT (lpad(to_hex((extract(epoch FROM n.at) * 1000)::bigint), 12, '0') || '8' || substr(n.hash, 1, 3) || 'a'
      || substr(n.hash, 4, 15))::uuid,
    md5('schedule ' || n.schedule)::uuid, 'schedule ' || n.schedule, 'scout.trigger', 1,
    '{"source": "stratninja", "max_strategies": 20}', 'scheduled', 'schedule ' || n.schedule, n.at, 'scouts', '${POLICY}',
    n.schedule % 2 = 1, n.status, CASE n.status WHEN 'failed' THEN 'error' WHEN 'skipped' THEN 'overlap' END,
    CASE n.status WHEN 'failed' THEN 'the source did not answer' END, n.at,
    CASE n.status WHEN 'completed' THEN 100 END, CASE WHEN n.started IS NOT NULL THEN extract(epoch FROM n.at) * 1000 END,
    CASE WHEN n.started IS NOT NULL THEN '{"validated": 3}'::jsonb END,
    CASE WHEN n.started IS NOT NULL THEN '/agents/scout-' || n.schedule % 7 END, n.at, n.started,
    n.started + interval '1 second', n.started + interval '30 seconds', coalesce(n.started + interval '1 minute', n.at)
  FROM (
    SELECT g.*, CASE WHEN g.status <> 'skipped' THEN g.at END AS started
    FROM (
      SELECT i % $4 AS schedule, md5(i::text) AS hash,
        CASE i * 7 % 100 WHEN 0 THEN 'failed' WHEN 1 THEN 'skipped' ELSE 'completed' END AS status,
        f.since - interval '1 hour' - ($3 - i) * (interval '29 days' / $3) AS at
      FROM bench_filled f, generate_series($1::bigint, $2::bigint) AS i) AS g) AS n`;

/** Reads the page of `runs_schedule` that each schedule's next run goes to: where a service runs, its last one has been there. */
export async function warm(url: string): Promise<void> {
  const sql = await connected(url);
  await sql.query("SET enable_seqscan = off");
  await sql.query(
    `SELECT count(r.id) FROM schedules s, LATERAL (
       SELECT id FROM runs WHERE schedule_id = s.id ORDER BY schedule_id DESC, id DESC LIMIT 1) AS r`,
  );
  await sql.end();
}
