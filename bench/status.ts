import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "amqplib";
import { median } from "./support/figures.ts";
import { PREFIX, startService } from "./support/service.ts";
import { startServices } from "./support/services.ts";

/*
 * Status updates from consumers until all are in Postgres: started and completed for half as many dispatched runs, while
 * they are being published. `tsx bench/status.ts [updates] [rounds]`
 */
const UPDATES = Number(process.argv[2] ?? 50_000);
const ROUNDS = Number(process.argv[3] ?? 3);

const services = await startServices();
const service = await startService(services);
const connection = await connect(services.broker.url, { noDelay: true });
try {
  const channel = await connection.createConfirmChannel();
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
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
    const began = performance.now();
    let sequence = 0;
    for (const status of ["started", "completed"]) {
      for (const { id } of rows) {
        const data = { run_id: id, attempt: 1, sequence: ++sequence, status, metrics: { validated: 3 } };
        const event = { specversion: "1.0", id: `${id}:${status}`, type: "run.status.v1", source: "/bench", data };
        const options = { persistent: true, contentType: "application/cloudevents+json", messageId: event.id };
        if (!channel.publish(`${PREFIX}.status`, "run.status.v1", Buffer.from(JSON.stringify(event)), options)) {
          await new Promise((resolve) => channel.once("drain", resolve));
        }
      }
    }
    for (;;) {
      const left = await services.sql.query("SELECT 1 FROM runs WHERE status <> 'completed' LIMIT 1");
      if (left.rowCount === 0) break;
      await sleep(20);
    }
    const seconds = (performance.now() - began) / 1_000;
    rates.push(UPDATES / seconds);
    console.error(`${Math.round(rates.at(-1)!)} updates/s`);
  }
  const figures = { benchmark: "status", updates: UPDATES, per_second: Math.round(median(rates)) };
  console.table([figures]);
  console.log(JSON.stringify(figures));
} finally {
  await connection.close();
  await service.stop();
  await services.stop();
}
