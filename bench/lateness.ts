import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "amqplib";
import { median, percentile } from "./support/figures.ts";
import { report } from "./support/report.ts";
import { PREFIX, startService } from "./support/service.ts";
import { startServices } from "./support/services.ts";

/*
 * Schedules due at distinct instants, one every 60 ms, with the 30 s poll: from the nominal instant until a consumer has the
 * trigger. Beside it, in the same round, one publish → consume hop on the same broker. `tsx bench/lateness.ts [count] [rounds]`
 */
const COUNT = Number(process.argv[2] ?? 1_000);
const ROUNDS = Number(process.argv[3] ?? 5);
const SPACING_MS = 60;
const HOPS = 200;
const QUEUE = `${PREFIX}.work.scout.trigger.v1`;

const services = await startServices();
const service = await startService(services);
const connection = await connect(services.broker.url, { noDelay: true });
const channel = await connection.createConfirmChannel();
try {
  let hops: number[] = [];
  let lateness: number[] = [];
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
  const rounds: { hop: number; p50: number; p99: number; max: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    hops = [];
    lateness = [];
    await hop();
    await scheduleAll(round);
    while (lateness.length < COUNT) await sleep(100);
    rounds.push({
      hop: median(hops),
      p50: median(lateness),
      p99: percentile(lateness, 99),
      max: Math.max(...lateness),
    });
    console.error(JSON.stringify(rounds.at(-1)));
  }
  const what = `${COUNT.toLocaleString("en")} schedules over ${(COUNT * SPACING_MS) / 1_000} s, instant → consumer`;
  const floor = rounds.map((round) => round.hop);
  for (const [name, limit] of [
    ["p50", 20],
    ["p99", 50],
    ["max", null],
  ] as const) {
    report({
      benchmark: "lateness",
      figure: `${what}, ${name}`,
      unit: "ms",
      rounds: rounds.map((round) => round[name]),
      floor: name === "p50" ? floor : undefined,
      limit: limit === null ? undefined : { of: "median", value: limit },
    });
  }
} finally {
  await connection.close();
  await service.stop();
  await services.stop();
}

/** One message at a time from here to here. */
async function hop(): Promise<void> {
  for (let index = 0; index < HOPS; index += 1) {
    const body = JSON.stringify({ data: { hop: performance.now() } });
    channel.publish(`${PREFIX}.triggers`, "scout.trigger.v1", Buffer.from(body), {
      persistent: true,
      messageId: "hop",
    });
    await channel.waitForConfirms();
    await sleep(10);
  }
}

async function scheduleAll(round: number): Promise<void> {
  const start = Date.now() + 3_000 + COUNT / 5;
  await services.sql.query(
    `INSERT INTO schedules (name, kind, run_at, action, payload)
     SELECT 'once ' || $4::int || ' ' || n, 'once', to_timestamp(($1::double precision + n * $2) / 1000), 'scout.trigger',
       '{"source": "stratninja", "max_strategies": 20}'
     FROM generate_series(1, $3) AS n`,
    [start, SPACING_MS, COUNT, round],
  );
}
