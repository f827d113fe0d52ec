import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "amqplib";
import { median, percentile } from "./support/figures.ts";
import { PREFIX, startService } from "./support/service.ts";
import { startServices } from "./support/services.ts";

/*
 * Schedules due at distinct instants, one every 60 ms, with the 30 s poll: from the nominal instant until a consumer has the
 * trigger. Beside it one publish → consume hop on the same broker. `tsx bench/lateness.ts [count]`
 */
const COUNT = Number(process.argv[2] ?? 1_000);
const SPACING_MS = 60;
const QUEUE = `${PREFIX}.work.scout.trigger.v1`;

const services = await startServices();
const service = await startService(services);
const connection = await connect(services.broker.url, { noDelay: true });
try {
  const channel = await connection.createConfirmChannel();
  const hops: number[] = [];
  const lateness: number[] = [];
  await channel.consume(
    QUEUE,
    (message) => {
      const now = Date.now();
      const { data } = JSON.parse(message!.content.toString());
      if (data.hop) hops.push(performance.now() - data.hop);
      else lateness.push(now - Date.parse(data.scheduled_for));
    },
    { noAck: true },
  );
  for (let index = 0; index < 200; index += 1) {
    const body = JSON.stringify({ data: { hop: performance.now() } });
    channel.publish(`${PREFIX}.triggers`, "scout.trigger.v1", Buffer.from(body), {
      persistent: true,
      messageId: "hop",
    });
    await channel.waitForConfirms();
    await sleep(10);
  }
  const start = Date.now() + 3_000 + COUNT / 5;
  await services.sql.query(
    `INSERT INTO schedules (name, kind, run_at, action, payload)
     SELECT 'once ' || n, 'once', to_timestamp(($1::double precision + n * $2) / 1000), 'scout.trigger',
       '{"source": "stratninja", "max_strategies": 20}'
     FROM generate_series(1, $3) AS n`,
    [start, SPACING_MS, COUNT],
  );
  while (lateness.length < COUNT) await sleep(100);
  const figures = {
    benchmark: "lateness",
    schedules: COUNT,
    hop_p50_ms: Number(median(hops).toFixed(2)),
    p50_ms: median(lateness),
    p95_ms: percentile(lateness, 95),
    p99_ms: percentile(lateness, 99),
    max_ms: Math.max(...lateness),
  };
  console.table([figures]);
  console.log(JSON.stringify(figures));
} finally {
  await connection.close();
  await service.stop();
  await services.stop();
}
