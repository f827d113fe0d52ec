import { setTimeout as sleep } from "node:timers/promises";
import { type BenchChild, runChild } from "./support/child.ts";
import { cpuSeconds, type Part } from "./support/cpu.ts";
import { burstFloor } from "./support/floor-of-burst.ts";
import { report } from "./support/report.ts";
import { PREFIX, startService } from "./support/service.ts";
import { type BenchServices, startServices } from "./support/services.ts";

/*
 * N schedules with distinct cron expressions in many zones, due at one instant: from that instant until a separate consumer
 * process has received every trigger (each run was committed before its trigger was published). Beside it, in the same
 * round, the floor: amqplib publishing the same bytes with confirms to the same quorum queue, drained the same way.
 */
const COUNTS = (process.argv[2] ?? "10000,50000").split(",").map(Number);
const ROUNDS = Number(process.argv[3] ?? 5);
const QUEUE = `${PREFIX}.work.scout.trigger.v1`;
const ZONES = Intl.supportedValuesOf("timeZone").filter((_, index) => index % 8 === 0);

const both = (one: number, other: number) => [one, other].sort((a, b) => a - b).join(",");

async function insertSchedules(services: BenchServices, at: number, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, index) => {
    const zone = ZONES[index % ZONES.length]!;
    const parts = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
      hourCycle: "h23",
    }).formatToParts(at);
    const local = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
    const minutes = both(local.minute!, (local.minute! + 1 + (index % 58)) % 60);
    const hours = both(local.hour!, (local.hour! + 1 + (Math.floor(index / 58) % 22)) % 24);
    return { name: `schedule ${index}`, zone, expression: `${local.second} ${minutes} ${hours} * * *` };
  });
  await services.sql.query(
    `INSERT INTO schedules (name, kind, cron_expression, timezone, action, payload)
     SELECT r.name, 'cron', r.expression, r.zone, 'scout.trigger', '{"source": "stratninja", "max_strategies": 20}'
     FROM jsonb_to_recordset($1::jsonb) AS r (name text, expression text, zone text)`,
    [JSON.stringify(rows)],
  );
  for (;;) {
    const { rows: left } = await services.sql.query("SELECT count(*)::int AS n FROM schedules WHERE needs_planning");
    if (left[0].n === 0) break;
    await sleep(50);
  }
  const due = await services.sql.query(
    "SELECT count(*)::int AS n FROM schedules WHERE next_run_at = to_timestamp($1)",
    [at / 1_000],
  );
  if (due.rows[0].n !== count) throw new Error(`${due.rows[0].n} of ${count} schedules are due at the instant`);
}

/** From the instant until the last trigger has been received, ms; and the processor time used meanwhile, ms, by part. */
async function burst(services: BenchServices, service: BenchChild, count: number) {
  await services.sql.query("TRUNCATE schedules, agenda, runs, leases, outbox");
  await services.sql.query("VACUUM ANALYZE");
  // The next whole second that leaves time to plan and to come to rest.
  const at = Math.ceil((Date.now() + 10_000 + count) / 1_000) * 1_000;
  await insertSchedules(services, at, count);
  const receiver = runChild("receiver.ts", [services.broker.url, QUEUE, String(count)]);
  await receiver.line();
  while (Date.now() < at - 200) await sleep(10);
  const before = await cpuSeconds(service.process.pid!);
  const { last, distinct } = JSON.parse(await receiver.line()) as { last: number; distinct: number };
  const after = await cpuSeconds(service.process.pid!);
  const { rows } = await services.sql.query("SELECT count(*)::int AS n FROM runs WHERE status = 'dispatched'");
  if (rows[0].n !== count || distinct !== count) throw new Error(`${rows[0].n} runs, ${distinct} triggers`);
  const used = (part: Part) => Math.round((after[part] - before[part]) * 1_000);
  return {
    burst_ms: last - at,
    cpu_ms: { service: used("service"), postgres: used("postgres"), broker: used("broker") },
  };
}

const services = await startServices();
const service = await startService(services);
try {
  // A service that has run for a while is what a burst meets; the first one costs it four times the processor, the second one
  // twice (compiling).
  for (let warm_up = 0; warm_up < 2; warm_up += 1) await burst(services, service, 10_000);
  for (const count of COUNTS) {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = await cpuSeconds(service.process.pid!);
      const floor_ms = await burstFloor(services.broker.url, QUEUE, count);
      const { broker } = await cpuSeconds(service.process.pid!);
      const floor_broker_cpu_ms = Math.round((broker - before.broker) * 1_000);
      rounds.push({ floor_ms, floor_broker_cpu_ms, ...(await burst(services, service, count)) });
      console.error(JSON.stringify(rounds.at(-1)));
    }
    report({
      benchmark: "burst",
      figure: `${count.toLocaleString("en")} schedules due at one instant, until the last trigger is received`,
      unit: "ms",
      rounds: rounds.map(({ burst_ms }) => burst_ms),
      floor: rounds.map(({ floor_ms }) => floor_ms),
      limit: { of: "ratio", value: 1.25 },
    });
  }
} finally {
  await service.stop();
  await services.stop();
}
