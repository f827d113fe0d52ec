import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startPostgres } from "../dev/services/postgres.ts";
import { connect, type Tx } from "../src/database/connection.ts";
import { migrate } from "../src/database/migrate.ts";
import type { RunFilter } from "../src/database/run-filter.ts";
import { listRuns } from "../src/database/run-lists.ts";
import { listSchedules, listTriggered, type ScheduleFilter } from "../src/database/schedule-queries.ts";
import { statistics } from "../src/database/statistics.ts";
import { median } from "./support/figures.ts";

/*
 * Pages of 50 of the lists at the server, among a million runs and 100,000 schedules, by every filter an operator would
 * use, rare ones too; beside each the same rows read by their primary keys, which is as fast as it can be. Statistics are
 * measured for what they are. Exits with 1 where a list takes more than 20 ms. `tsx bench/lists.ts [runs] [schedules]`
 */
const RUNS = Number(process.argv[2] ?? 1_000_000);
const SCHEDULES = Number(process.argv[3] ?? 100_000);
const ROUNDS = 7;
const PAGE = 51;
const LIMIT_MS = 20;

const directory = await mkdtemp(join(tmpdir(), "pocketwatch-lists-"));
await chmod(directory, 0o711);
const postgres = await startPostgres({
  directory: join(directory, "postgres"),
  settings: { shared_buffers: "512MB", fsync: "off" },
});
const database = connect({ url: postgres.url, logger: pino({ level: "silent" }) });
const sql = (text: string, values: unknown[] = []) => database.pool.query(text, values);

/** 30 days of runs; one in 100 has failed, one in 20,000 each is waiting, pending, running or cancelled, the rest completed. */
async function fill(): Promise<void> {
  await sql("ALTER TABLE schedules DISABLE TRIGGER USER");
  await sql(
    `INSERT INTO schedules (id, name, kind, cron_expression, action, payload, labels, enabled, paused_until, problem,
       needs_planning, next_run_at, not_due, resolved, webhook_pattern, description)
     SELECT md5('s' || n)::uuid, 'schedule ' || lpad(n::text, 6, '0'), CASE WHEN n % 5000 = 7 THEN 'calendar' ELSE 'cron' END,
       '0 * * * *', CASE WHEN n % 10000 = 3 THEN 'rare.action' ELSE 'action.' || n % 20 END, '{"source": "stratninja"}',
       CASE WHEN n % 10 = 0 THEN jsonb_build_object('team', 'team-' || n % 1000)
         WHEN n % 10 < 6 THEN '{"tier": "common"}' ELSE '{}' END,
       n % 9000 <> 5, CASE WHEN n % 9000 = 6 THEN 'infinity'::timestamptz END,
       CASE WHEN n % 9000 = 8 THEN 'the payload is wrong' END, false, now() + n * interval '1 second', false,
       jsonb_build_object('priority', CASE WHEN n % 10000 = 1 THEN 1 ELSE 2 END,
         'pool', CASE WHEN n % 10000 = 2 THEN 'rare' ELSE 'default' END),
       CASE WHEN n % 9000 = 9 THEN 'github/push' END, CASE WHEN n % 9000 = 10 THEN 'holds a needle' END
     FROM generate_series(1, $1::int) AS n`,
    [SCHEDULES],
  );
  await sql("ALTER TABLE schedules ENABLE TRIGGER USER");
  for (let from = 0; from < RUNS; from += 100_000) {
    await sql(
      `INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, payload, trigger_type, scheduled_for, policy,
         status, status_reason, priority, pool, target, error_message, started_at, completed_at, created_at, worker)
       SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5('r' || n), 1, 20))::uuid,
         md5('s' || s)::uuid, 'schedule ' || lpad(s::text, 6, '0'),
         CASE WHEN s % 10000 = 3 THEN 'rare.action' ELSE 'action.' || s % 20 END, 1, '{"source": "stratninja"}',
         CASE WHEN n % 20000 = 11 THEN 'backfill' WHEN n % 50 = 1 THEN 'manual' ELSE 'scheduled' END, at,
         '{"max_attempts": 3, "timeout_seconds": 7200, "notify_on": ["failed"]}',
         status, CASE status WHEN 'failed' THEN CASE WHEN n % 40000 = 2 THEN 'heartbeat_lost' ELSE 'error' END
           WHEN 'skipped' THEN 'overlap' WHEN 'waiting' THEN 'buffered' WHEN 'cancelled' THEN 'requested' END,
         CASE WHEN n % 20000 = 12 THEN 1 ELSE 2 END, CASE WHEN n % 20000 = 13 THEN 'rare' ELSE 'default' END,
         CASE WHEN n % 20000 = 14 THEN 'bmc-17' END,
         CASE status WHEN 'failed' THEN CASE WHEN n % 40000 = 2 THEN 'needle in it' ELSE 'connection refused' END END,
         at + interval '1 second', CASE WHEN status IN ('completed', 'failed', 'skipped', 'cancelled') THEN at + interval '1 minute' END,
         at, 'worker-' || n % 7
       FROM (
         SELECT n, 1 + n * 7919 % $3 AS s, now() - interval '30 days' + n * (interval '30 days' / $4) AS at,
           CASE WHEN n % 100 = 2 THEN 'failed' ELSE CASE n % 20000 WHEN 3 THEN 'cancelled' WHEN 4 THEN 'skipped' WHEN 5 THEN 'waiting'
             WHEN 6 THEN 'pending' WHEN 7 THEN 'running' WHEN 8 THEN 'dispatched' ELSE 'completed' END END AS status
         FROM generate_series($1::bigint, $2::bigint) AS n) AS r`,
      [from + 1, Math.min(RUNS, from + 100_000), SCHEDULES, RUNS],
    );
  }
  await sql("VACUUM ANALYZE runs");
  await sql("VACUUM ANALYZE schedules");
}

interface Figure {
  readonly list: string;
  readonly rows: number;
  readonly ms: number;
  readonly slowest: number;
  /** The same rows by primary key. */
  readonly floor_ms: number;
}

async function times(ask: (tx: Tx) => Promise<unknown>): Promise<number[]> {
  const measured: number[] = [];
  for (let round = -2; round < ROUNDS; round += 1) {
    await database.transaction(async (tx) => {
      const began = performance.now();
      await ask(tx);
      if (round >= 0) measured.push(performance.now() - began);
    });
  }
  return measured;
}

async function measure(
  list: string,
  table: string,
  ask: (tx: Tx) => Promise<readonly { id: string }[]>,
): Promise<Figure> {
  const rows = await database.transaction(ask);
  const ids = rows.map((row) => row.id);
  const all = await times(ask);
  const floor = await times((tx) => tx.query(`SELECT * FROM ${table} WHERE id = ANY($1::uuid[])`, [ids]));
  const round = (ms: number) => Number(ms.toFixed(1));
  return {
    list,
    rows: rows.length,
    ms: round(median(all)),
    slowest: round(Math.max(...all)),
    floor_ms: round(median(floor)),
  };
}

const DAY = 86_400_000;
const idAgo = async (days: number) =>
  (
    await sql(
      "SELECT max(id::text) AS id FROM (SELECT id FROM runs WHERE scheduled_for < now() - $1 * interval '1 day' ORDER BY id DESC LIMIT 1) AS r",
      [days],
    )
  ).rows[0].id as string;

try {
  await migrate(postgres.url);
  await fill();
  const now = ((await sql("SELECT extract(epoch FROM now()) * 1000 AS now")).rows[0].now as number) * 1;
  const some = (await sql("SELECT id FROM schedules WHERE name = 'schedule 004000'")).rows[0].id as string;
  const runFilters: Record<string, RunFilter & { readonly before?: string }> = {
    newest: {},
    "15 days ago": { before: await idAgo(15) },
    "the last page": { before: await idAgo(29.99) },
    "status=completed": { status: ["completed"] },
    ...Object.fromEntries(
      ["failed", "cancelled", "skipped", "waiting", "pending", "dispatched", "running"].map((status) => [
        `status=${status}`,
        { status: [status] },
      ]),
    ),
    "status=failed,cancelled": { status: ["failed", "cancelled"] },
    unfinished: { status: ["waiting", "pending", "dispatched", "running"] },
    "status=failed, 15 days ago": { status: ["failed"], before: await idAgo(15) },
    "status_reason=heartbeat_lost": { status_reason: ["heartbeat_lost"] },
    "status=failed, action=rare.action": { status: ["failed"], action: ["rare.action"] },
    "action=action.3": { action: ["action.3"] },
    "action=rare.action": { action: ["rare.action"] },
    "action=unknown": { action: ["unknown"] },
    schedule: { schedule_id: some },
    "schedule, status=failed": { schedule_id: some, status: ["failed"] },
    "schedule, a day": { schedule_id: some, from: now - 9 * DAY, to: now - 8 * DAY },
    "trigger_type=manual": { trigger_type: ["manual"] },
    "trigger_type=backfill": { trigger_type: ["backfill"] },
    "priority=high": { priority: [1] },
    "pool=rare": { pool: ["rare"] },
    "pool=unknown": { pool: ["unknown"] },
    "target=bmc-17": { target: "bmc-17" },
    "label=team=team-500": { labels: { team: "team-500" } },
    "label=team=team-500, status=failed": { labels: { team: "team-500" }, status: ["failed"] },
    "label=team=none": { labels: { team: "none" } },
    "label=team=team-500, action=unknown": { labels: { team: "team-500" }, action: ["unknown"] },
    "label=team": { label_names: ["team"] },
    "label=tier (of half of them)": { label_names: ["tier"] },
    "label=tier, action=unknown": { label_names: ["tier"], action: ["unknown"] },
    "label=none": { label_names: ["none"] },
    "a day": { from: now - 9 * DAY, to: now - 8 * DAY },
    "a day, status=failed": { from: now - 9 * DAY, to: now - 8 * DAY, status: ["failed"] },
    "text=004000 (a schedule's name)": { text: "004000" },
    "text=needle (an error)": { text: "needle" },
    "text=nowhere": { text: "nowhere" },
    "text=needle, status=failed": { text: "needle", status: ["failed"] },
    "text=nowhere, status=failed": { text: "nowhere", status: ["failed"] },
    "children too": { children: true },
  };
  const scheduleFilters: Record<string, ScheduleFilter & { readonly after?: string }> = {
    first: {},
    "in the middle": { after: "schedule 050000" },
    ...Object.fromEntries(
      (["active", "paused", "disabled", "finished", "problem"] as const).map((state) => [
        `state=${state}`,
        { state: [state] },
      ]),
    ),
    "state=paused,disabled,problem": { state: ["paused", "disabled", "problem"] },
    "kind=calendar": { kind: ["calendar"] },
    "kind=event": { kind: ["event"] },
    "action=action.3": { action: ["action.3"] },
    "action=rare.action": { action: ["rare.action"] },
    "action=unknown": { action: ["unknown"] },
    "priority=high": { priority: [1] },
    "pool=rare": { pool: ["rare"] },
    "label=team=team-500": { labels: { team: "team-500" } },
    "label=team": { label_names: ["team"] },
    "label=tier (of half of them)": { label_names: ["tier"] },
    "label=tier, action=unknown": { label_names: ["tier"], action: ["unknown"] },
    "label=none": { label_names: ["none"] },
    "text=04000 (a name)": { text: "04000" },
    "text=needle (a description)": { text: "needle" },
    "text=nowhere": { text: "nowhere" },
    "text=nowhere, state=problem": { text: "nowhere", state: ["problem"] },
  };
  const figures: Figure[] = [];
  for (const [name, { before = null, ...filter }] of Object.entries(runFilters)) {
    figures.push(
      await measure(`runs: ${name}`, "runs", async (tx) => (await listRuns(tx, filter, { before, limit: PAGE })).rows),
    );
  }
  for (const [name, { after = null, ...filter }] of Object.entries(scheduleFilters)) {
    const ask = async (tx: Tx) => (await listSchedules(tx, filter, { after, limit: PAGE })).rows;
    figures.push(await measure(`schedules: ${name}`, "schedules", ask));
  }
  figures.push(await measure("triggers", "schedules", (tx) => listTriggered(tx, "", PAGE)));
  console.table(figures);

  const spans = { "a day": DAY, "a week": 7 * DAY, "30 days": 30 * DAY };
  const stats = await Promise.all(
    Object.entries(spans).flatMap(([span, ms]) =>
      [null, some].map((schedule) => ({
        statistics: `${schedule === null ? "all" : "one schedule"}, ${span}`,
        schedule,
        ms,
      })),
    ),
  );
  const statisticsFigures = [];
  for (const { schedule, ms, statistics: name } of stats) {
    const all = await times((tx) => statistics(tx, schedule, { from: now - ms, to: now }));
    statisticsFigures.push({ statistics: name, ms: Math.round(median(all)), slowest: Math.round(Math.max(...all)) });
  }
  console.table(statisticsFigures);
  const slow = figures.filter(({ ms }) => ms > LIMIT_MS);
  console.log(
    JSON.stringify({ benchmark: "lists", runs: RUNS, schedules: SCHEDULES, figures, statistics: statisticsFigures }),
  );
  if (slow.length > 0) {
    console.error(`over ${LIMIT_MS} ms: ${slow.map(({ list, ms }) => `${list} (${ms})`).join(", ")}`);
    process.exitCode = 1;
  }
} finally {
  await database.close();
  await postgres.remove();
  await rm(directory, { recursive: true, force: true });
}
