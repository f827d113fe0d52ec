import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { settlesWithin, startChild } from "../dev/services/child.ts";
import { freePort } from "../dev/services/ports.ts";
import { type BenchChild, runChild } from "./support/child.ts";
import { burstFloor } from "./support/floor-of-burst.ts";
import { report } from "./support/report.ts";
import { PREFIX, startService } from "./support/service.ts";
import { type BenchServices, startServices } from "./support/services.ts";

/*
 * The burst job by other schedulers, beside Pocketwatch and the floor in the same rounds: jobs due at one instant, until a
 * process of its own has been given every one of them. `npm ci --prefix bench/peers` first, and an installed redis-server.
 * `tsx bench/peers.ts [jobs] [rounds]`
 */
const COUNT = Number(process.argv[2] ?? 10_000);
const ROUNDS = Number(process.argv[3] ?? 5);
const PATIENCE_MS = 120_000;
/** For entering and planning the jobs before they are due. */
const HEAD_START_MS = 10_000 + COUNT;
const QUEUE = `${PREFIX}.work.scout.trigger.v1`;

if (!existsSync(fileURLToPath(new URL("peers/node_modules", import.meta.url)))) {
  console.error("the peers are not installed: npm ci --prefix bench/peers");
  process.exit(2);
}

const directory = await mkdtemp(join(tmpdir(), "pocketwatch-peers-"));
const services = await startServices();
const service = await startService(services);
const redis = await startRedis("everysec");
const durable = await startRedis("always");

const contenders: Record<string, () => Promise<number | null>> = {
  Pocketwatch: () => pocketwatch(services),
  "BullMQ, Redis syncs every second": () => peer("bullmq", redis.url),
  "BullMQ, Redis syncs every write": () => peer("bullmq", durable.url),
  "graphile-worker": () => peer("graphile-worker", services.postgres.url),
  "pg-boss": () => peer("pg-boss", services.postgres.url),
};
const times = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]));
const floors: number[] = [];
try {
  for (let round = 0; round < ROUNDS; round += 1) {
    floors.push(await burstFloor(services.broker.url, QUEUE, COUNT));
    console.error(`floor: ${floors.at(-1)} ms`);
    for (const [name, run] of Object.entries(contenders)) {
      if (times.get(name)!.length < round) continue; // it has given up
      const ms = await run();
      console.error(`${name}: ${ms === null ? `not done after ${PATIENCE_MS / 1_000} s` : `${ms} ms`}`);
      if (ms !== null) times.get(name)!.push(ms);
    }
  }
  for (const [name, rounds] of times) {
    if (rounds.length === ROUNDS) {
      report({
        benchmark: "peers",
        figure: `${COUNT.toLocaleString("en")} jobs due at once: ${name}`,
        unit: "ms",
        rounds,
        floor: floors,
      });
    } else console.log(JSON.stringify({ benchmark: "peers", given_up: name, rounds }));
  }
} finally {
  await service.stop();
  await Promise.all([redis.stop(), durable.stop(), services.stop()]);
  await rm(directory, { recursive: true, force: true });
}

/** A private Redis that keeps what it is told, in an append-only file. */
async function startRedis(appendfsync: string): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort();
  const settings = { port, bind: "127.0.0.1", save: "", appendonly: "yes", appendfsync, dir: directory };
  const child = await startChild({
    command: "redis-server",
    args: Object.entries({ ...settings, appenddirname: appendfsync }).flatMap(([name, value]) => [
      `--${name}`,
      String(value),
    ]),
    env: { PATH: process.env.PATH },
    logFile: join(directory, `redis-${appendfsync}.log`),
    stopSignal: "SIGTERM",
  });
  return { url: `redis://127.0.0.1:${port}`, stop: () => child.kill() };
}

/** From the instant until the contender has been given every job; null: it was not in two minutes. */
async function peer(name: string, url: string): Promise<number | null> {
  const child = runChild(`../peers/${name}.js`, [url, String(COUNT)]);
  await child.line();
  const at = Date.now() + HEAD_START_MS;
  child.process.stdin!.write(`${at}\n`);
  await child.line();
  if (Date.now() > at) throw new Error(`${name} had not entered its jobs by the instant`);
  const done = child.line();
  const inTime = await settlesWithin(done, at - Date.now() + PATIENCE_MS);
  if (!inTime) child.process.kill("SIGKILL");
  return inTime ? lastOf(await done) - at : null;
}

async function pocketwatch({ sql, broker }: BenchServices): Promise<number> {
  await sql.query("TRUNCATE schedules, agenda, runs, leases, outbox");
  const at = Date.now() + HEAD_START_MS;
  const receiver: BenchChild = runChild("receiver.ts", [broker.url, QUEUE, String(COUNT)]);
  await receiver.line();
  await sql.query(
    `INSERT INTO schedules (name, kind, run_at, action, payload)
     SELECT 'schedule ' || n, 'once', to_timestamp($2::double precision / 1000), 'scout.trigger',
       '{"source": "stratninja", "max_strategies": 20}' FROM generate_series(1, $1) AS n`,
    [COUNT, at],
  );
  while ((await sql.query("SELECT FROM schedules WHERE needs_planning LIMIT 1")).rowCount !== 0) await sleep(50);
  if (Date.now() > at) throw new Error("the schedules were not planned by the instant");
  return lastOf(await receiver.line()) - at;
}

function lastOf(line: string): number {
  return (JSON.parse(line) as { last: number }).last;
}
