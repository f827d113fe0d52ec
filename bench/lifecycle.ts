import { setTimeout as sleep } from "node:timers/promises";
import { runChild } from "./support/child.ts";
import { cores, cpuSeconds } from "./support/cpu.ts";
import { report } from "./support/report.ts";
import { PREFIX, startService } from "./support/service.ts";
import { startServices } from "./support/services.ts";

/*
 * Whole lifecycles, sustained: interval schedules that fall due all the time, evenly spread, each every 30 s; a consumer
 * process that answers every trigger with `started` and `completed` over confirms. Counted are runs whose `completed` is in
 * Postgres, in six windows of a minute; a backlog that grows over it is a failure. `tsx bench/lifecycle.ts [runs/s] [seconds]`
 */
const RATE = Number(process.argv[2] ?? 2_100);
const SECONDS = Number(process.argv[3] ?? 60);
const PERIOD_SECONDS = 30;
const WINDOWS = 6;
const WARM_UP_SECONDS = 10;

const services = await startServices();
const service = await startService(services);
const { sql } = services;
const queue = `${PREFIX}.work.scout.trigger.v1`;
const worker = runChild("worker.ts", [services.broker.url, queue, `${PREFIX}.status`]);
try {
  await worker.line();
  const starts_at = await insertSchedules(RATE * PERIOD_SECONDS);
  await sql.query("VACUUM ANALYZE");
  await sleep(Math.max(0, starts_at - Date.now()) + WARM_UP_SECONDS * 1_000);

  const rates: number[] = [];
  const open: number[] = [];
  let before = await look();
  const first = before;
  const cpu = await cpuSeconds(service.process.pid!);
  for (let window = 0; window < WINDOWS; window += 1) {
    await sleep(first.at + ((window + 1) * SECONDS * 1_000) / WINDOWS - performance.now());
    const after = await look();
    rates.push((after.completed - before.completed) / ((after.at - before.at) / 1_000));
    open.push(after.open);
    console.error(
      JSON.stringify({ runs_per_second: Math.round(rates.at(-1)!), open: after.open, late_ms: after.late_ms }),
    );
    before = after;
  }
  console.error(
    JSON.stringify({ cores: cores(cpu, await cpuSeconds(service.process.pid!), (before.at - first.at) / 1_000) }),
  );
  const bad = await sql.query("SELECT count(*)::int AS n FROM runs WHERE status IN ('skipped', 'failed', 'cancelled')");
  if (bad.rows[0].n > 0) throw new Error(`${bad.rows[0].n} runs were skipped, failed or cancelled`);
  report({
    benchmark: "lifecycle",
    figure: `runs completed, ${RATE}/s due`,
    unit: "runs/s",
    rounds: rates,
    limit: { of: "median", value: 2_000 },
  });
  // What is on its way at any time; a second's worth of runs is where a backlog would begin.
  report({
    benchmark: "lifecycle",
    figure: "runs on their way",
    unit: "runs",
    rounds: open,
    limit: { of: "median", value: RATE },
  });
} finally {
  worker.process.stdin!.end();
  await service.stop();
  await services.stop();
}

/** Runs that have completed so far and those on their way, overdue schedules included. */
async function look() {
  const { rows } = await sql.query<{ completed: number; open: number; late_ms: number }>(
    `SELECT (SELECT count(*)::int FROM runs WHERE status = 'completed') AS completed,
       (SELECT count(*)::int FROM runs WHERE deadline_at IS NOT NULL)
         + (SELECT count(*)::int FROM schedules WHERE next_run_at <= now() AND enabled AND NOT needs_planning) AS open,
       (SELECT greatest(0, extract(epoch FROM now() - min(next_run_at)) * 1000)::int
        FROM schedules WHERE next_run_at IS NOT NULL AND enabled AND NOT needs_planning) AS late_ms`,
  );
  return { ...rows[0]!, at: performance.now() };
}

/**
 * Schedules that fall due one after the other from the answered instant on. One is planned by the service, and the others
 * are inserted with what became of it: planning so many is another benchmark's business.
 */
async function insertSchedules(count: number): Promise<number> {
  await sql.query(
    `INSERT INTO schedules (name, kind, interval_seconds, interval_anchor, action, payload)
     VALUES ('interval', 'interval', $1, now() + interval '1 day', 'scout.trigger',
       '{"source": "stratninja", "max_strategies": 20}')`,
    [PERIOD_SECONDS],
  );
  while ((await sql.query("SELECT FROM schedules WHERE needs_planning")).rowCount !== 0) await sleep(50);
  const starts_at = Date.now() + 5_000 + count / 8;
  await sql.query("SET session_replication_role = replica"); // no triggers
  await sql.query(
    `INSERT INTO schedules (name, kind, interval_seconds, interval_anchor, action, payload, next_run_at, not_due,
       needs_planning, plan_from, resolved)
     SELECT s.name || ' ' || n, s.kind, s.interval_seconds, t.at, s.action, s.payload, t.at, false, false, now(), s.resolved
     FROM schedules s, generate_series(0, $1::int - 1) AS n, LATERAL (
       SELECT to_timestamp($2::double precision / 1000) + n * (s.interval_seconds * interval '1 second' / $1::int) AS at) AS t`,
    [count, starts_at],
  );
  await sql.query("SET session_replication_role = DEFAULT");
  await sql.query(
    "INSERT INTO agenda (next_run_at, schedule_ids) SELECT next_run_at, ARRAY[id] FROM schedules WHERE name <> 'interval'",
  );
  await sql.query("SELECT pg_notify('pocketwatch', 'fire')");
  if (Date.now() > starts_at) throw new Error("the schedules were not inserted by the time they fell due");
  return starts_at;
}
