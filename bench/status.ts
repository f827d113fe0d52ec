import { setTimeout as sleep } from "node:timers/promises";
import { type ConfirmChannel, connect } from "amqplib";
import { runChild } from "./support/child.ts";
import { cores, cpuSeconds } from "./support/cpu.ts";
import { report } from "./support/report.ts";
import { PREFIX, startService } from "./support/service.ts";
import { startServices } from "./support/services.ts";

/*
 * Status updates from consumers until all are in Postgres: started and completed for half as many dispatched runs, while
 * they are being published. Beside it, in the same round, the floor: the same bytes through a queue of the same kind to a
 * process that only acknowledges them. `tsx bench/status.ts [updates] [rounds]`
 */
const UPDATES = Number(process.argv[2] ?? 50_000);
const ROUNDS = Number(process.argv[3] ?? 5);
const FLOOR_QUEUE = "bench.floor";

const services = await startServices();
const service = await startService(services);
const connection = await connect(services.broker.url, { noDelay: true });
const channel = await connection.createConfirmChannel();
try {
  await channel.assertQueue(FLOOR_QUEUE, { durable: true, arguments: { "x-queue-type": "quorum" } });
  const rates: number[] = [];
  const floors: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const ids = await dispatchedRuns();
    floors.push(UPDATES / (await floor(ids)));
    const cpu = await cpuSeconds(service.process.pid!);
    const seconds = await updates(ids);
    rates.push(UPDATES / seconds);
    const used = cores(cpu, await cpuSeconds(service.process.pid!), seconds);
    console.error(
      JSON.stringify({ per_second: Math.round(rates.at(-1)!), floor: Math.round(floors.at(-1)!), cores: used }),
    );
  }
  report({
    benchmark: "status",
    figure: `${UPDATES.toLocaleString("en")} status updates until in Postgres`,
    unit: "updates/s",
    rounds: rates,
    floor: floors,
    limit: { of: "median", value: 5_000 },
  });
} finally {
  await connection.close();
  await service.stop();
  await services.stop();
}

async function dispatchedRuns(): Promise<string[]> {
  await services.sql.query("TRUNCATE runs");
  const { rows } = await services.sql.query<{ id: string }>(
    `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, status, dispatched_at, deadline_at, policy)
     SELECT 'scout.trigger', 1, 'manual', now(), 'dispatched', now(), now() + interval '1 day',
       '{"overlap": "allow", "max_attempts": 3, "retry_backoff_seconds": 30, "retry_backoff_multiplier": 2,
         "retry_backoff_max_seconds": 3600, "timeout_seconds": 7200, "heartbeat_seconds": null,
         "start_deadline_seconds": 86400, "priority": 2, "pool": "default", "notify_on": ["failed"]}'
     FROM generate_series(1, $1) RETURNING id`,
    [UPDATES / 2],
  );
  await services.sql.query("VACUUM ANALYZE runs");
  return rows.map((row) => row.id);
}

async function updates(ids: readonly string[]): Promise<number> {
  const began = performance.now();
  await publish(channel, ids, `${PREFIX}.status`, "run.status.v1");
  while (
    (await services.sql.query("SELECT FROM runs WHERE deadline_at IS NOT NULL ORDER BY deadline_at LIMIT 1"))
      .rowCount !== 0
  )
    await sleep(20);
  return (performance.now() - began) / 1_000;
}

async function floor(ids: readonly string[]): Promise<number> {
  const receiver = runChild("receiver.ts", [services.broker.url, FLOOR_QUEUE, String(UPDATES)]);
  await receiver.line();
  const began = performance.now();
  await publish(channel, ids, "", FLOOR_QUEUE);
  await receiver.line();
  return (performance.now() - began) / 1_000;
}

async function publish(to: ConfirmChannel, ids: readonly string[], exchange: string, key: string): Promise<void> {
  let sequence = 0;
  for (const status of ["started", "completed"]) {
    for (const id of ids) {
      const data = { run_id: id, attempt: 1, sequence: ++sequence, status, metrics: { validated: 3 } };
      const event = { specversion: "1.0", id: `${id}:${status}`, type: "run.status.v1", source: "/bench", data };
      const options = { persistent: true, contentType: "application/cloudevents+json", messageId: event.id };
      if (!to.publish(exchange, key, Buffer.from(JSON.stringify(event)), options)) {
        await new Promise((resolve) => to.once("drain", resolve));
      }
    }
  }
}
