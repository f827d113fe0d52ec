import { createHash } from "node:crypto";
import pg from "pg";
import { ENTRY_SIZE } from "../../src/database/agenda-entries.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openPasses, planAll } from "./passes.ts";

export async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** Another database on the same server, migrated; made where it is missing. */
export async function freshDatabase(server: string, name: string): Promise<string> {
  const url = new URL(server);
  url.pathname = `/${name}`;
  const admin = await connected(server);
  const { rowCount } = await admin.query("SELECT FROM pg_database WHERE datname = $1", [name]);
  if (rowCount === 0) await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  await migrate(url.href);
  return url.href;
}

/** The id of the n-th schedule: `md5('schedule ' || n)::uuid`. */
export function scheduleId(n: number): string {
  const hex = createHash("md5").update(`schedule ${n}`).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Inserts schedules as planning leaves them, where there are none yet. Planning a million one by one is another benchmark's
 * business, so one is planned and the others get what became of it: due next year. There are a thousand different cron
 * expressions however many schedules, so that tables are compared and not how often an expression was seen before.
 */
export async function insertPlannedSchedules(url: string, count: number): Promise<void> {
  const sql = await connected(url);
  try {
    if ((await sql.query("SELECT FROM schedules LIMIT 1")).rowCount !== 0) return;
    await sql.query(
      `INSERT INTO schedules (id, name, kind, cron_expression, action, payload)
       VALUES (md5('schedule 0')::uuid, 'schedule 0', 'cron', '0 0 1 1 *', 'scout.trigger',
         '{"source": "stratninja", "max_strategies": 20}')`,
    );
    const passes = await openPasses(url);
    await planAll(passes.deps);
    await passes.close();
    await sql.query("SET session_replication_role = replica"); // no triggers: neither planning nor an audit of a million rows
    await sql.query(
      `INSERT INTO schedules (id, name, kind, cron_expression, labels, action, payload, next_run_at, not_due,
         needs_planning, plan_from, resolved)
       SELECT md5('schedule ' || n)::uuid, 'schedule ' || n, 'cron',
         format('%s %s 1 * *', n % 1000 % 60, n % 1000 / 60), CASE WHEN n % 100 = 0 THEN '{"team": "a"}' ELSE '{}' END::jsonb, s.action, s.payload,
         s.next_run_at + n * interval '1 second', false, false, s.plan_from, s.resolved
       FROM schedules s, generate_series(1, $1 - 1) AS n`,
      [count],
    );
    await sql.query(
      "INSERT INTO agenda (next_run_at, schedule_ids) SELECT next_run_at, ARRAY[id] FROM schedules WHERE name <> 'schedule 0'",
    );
    await sql.query("SET session_replication_role = DEFAULT");
    await sql.query("VACUUM ANALYZE schedules, agenda");
  } finally {
    await sql.end();
  }
}

/** Makes schedules due in so many ms, as passes leave those that have the same instant. */
export const MAKE_DUE = `
  WITH moved AS (
    UPDATE schedules SET next_run_at = at, entered_by = pg_current_xact_id()
    FROM (SELECT (now() + $2::int * interval '1 millisecond')::timestamptz(3)) AS t (at) WHERE id = ANY($1::uuid[])
    RETURNING id, next_run_at)
  INSERT INTO agenda (next_run_at, schedule_ids)
  SELECT next_run_at, array_agg(id)
  FROM (SELECT *, (row_number() OVER () - 1) / ${ENTRY_SIZE} AS entry FROM moved) AS numbered GROUP BY next_run_at, entry`;
