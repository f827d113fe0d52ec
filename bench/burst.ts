import { setTimeout as sleep } from "node:timers/promises";
import { type BenchChild, runChild } from "./support/child.ts";
import { cpuBetween, cpuTimes } from "./support/cpu.ts";
import { median } from "./support/figures.ts";
import { PREFIX, startService } from "./support/service.ts";
import { type BenchServices, startServices } from "./support/services.ts";

/*
 * N schedules with distinct cron expressions in many zones, due at one instant: from that instant until a separate consumer
 * process has received every trigger (each run was committed before its trigger was published). Beside it, in the same
 * round, the floor: amqplib publishing the same bytes with confirms to the same quorum queue, drained the same way.
 */
const COUNT = Number(process.argv[2] ?? 10_000);
const ROUNDS = Number(process.argv[3] ?? 5);
const QUEUE = `${PREFIX}.work.scout.trigger.v1`;
const ZONES = Intl.supportedValuesOf("timeZone").filter((_, index) => index % 8 === 0);

const both = (one: number, other: number) => [one, other].sort((a, b) => a - b).join(",");

async function insertSchedules(services: BenchServices, at: number): Promise<void> {
  const rows = Array.from({ length: COUNT }, (_, index) => {
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
  if (due.rows[0].n !== COUNT) throw new Error(`${due.rows[0].n} of ${COUNT} schedules are due at the instant`);
}

async function burst(services: BenchServices, service: BenchChild) {
  await services.sql.query("TRUNCATE schedules, runs, leases, outbox");
  await services.sql.query("VACUUM ANALYZE");
  // The next whole second that leaves time to plan and to come to rest.
  const at = Math.ceil((Date.now() + 4_000 + COUNT) / 1_000) * 1_000;
  await insertSchedules(services, at);
  const receiver = runChild("receiver.ts", [services.broker.url, QUEUE, String(COUNT)]);
  await receiver.line();
  while (Date.now() < at - 300) await sleep(20);
  const before = cpuTimes(service.process.pid!);
  const result = JSON.parse(await receiver.line()) as {
    first: number;
    last: number;
    received: number;
    distinct: number;
  };
  const cpu = cpuBetween(before, cpuTimes(service.process.pid!));
  const { rows } = await services.sql.query("SELECT count(*)::int AS n FROM runs WHERE status = 'dispatched'");
  if (rows[0].n !== COUNT || result.distinct !== COUNT)
    throw new Error(`${rows[0].n} runs, ${result.distinct} triggers`);
  return { burst_ms: result.last - at, first_ms: result.first - at, cpu };
}

async function floor(services: BenchServices, body: string): Promise<number> {
  const receiver = runChild("receiver.ts", [services.broker.url, QUEUE, String(COUNT)]);
  await receiver.line();
  const key = "scout.trigger.v1";
  const publisher = runChild("floor.ts", [services.broker.url, `${PREFIX}.triggers`, key, String(COUNT), body]);
  await publisher.line();
  publisher.process.stdin!.write("go\n");
  const { began } = JSON.parse(await publisher.line()) as { began: number };
  const { last } = JSON.parse(await receiver.line()) as { last: number };
  return last - began;
}

const services = await startServices();
const service = await startService(services);
try {
  const sample = Buffer.alloc(1_010, "x").toString("base64");
  const rounds = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const floor_ms = await floor(services, sample);
    const { burst_ms, first_ms, cpu } = await burst(services, service);
    rounds.push({ floor_ms, burst_ms, ratio: burst_ms / floor_ms, first_ms, ...cpu });
    console.error(JSON.stringify(rounds.at(-1)));
  }
  console.table(rounds);
  const figures = {
    benchmark: "burst",
    schedules: COUNT,
    floor_ms: median(rounds.map((round) => round.floor_ms)),
    burst_ms: median(rounds.map((round) => round.burst_ms)),
    ratio: median(rounds.map((round) => round.ratio)),
  };
  console.log(JSON.stringify(figures));
} finally {
  await service.stop();
  await services.stop();
}
