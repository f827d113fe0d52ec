import { setTimeout as sleep } from "node:timers/promises";
import type { Broker } from "../../dev/services/service.ts";
import { METHOD } from "../support/amqp-proxy.ts";
import { hesitantWork } from "../support/ledger-consumer.ts";
import { ALARMS } from "./alarms.ts";
import { UNHINDERED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { FaultInstance, World } from "./world.ts";

/* Random faults of the table for as long as wanted; started by soak.ts. SOAK_SEED repeats a sequence. */

const minutes = Number(process.env.SOAK_MINUTES);
const seed = Number(process.env.SOAK_SEED ?? Date.now() % 1_000_000);

type Harm = (world: World, victim: FaultInstance) => Promise<unknown>;

const HARMS: Record<string, Harm> = {
  async "kill -9 of an instance"(world, victim) {
    await victim.kill();
    await world.startInstance(victim.name);
  },
  async "SIGTERM and restart"(world, victim) {
    await victim.stop();
    await world.startInstance(victim.name);
  },
  async "SIGSTOP for 20 s"(_world, victim) {
    await victim.signal("SIGSTOP");
    await sleep(20_000);
    await victim.signal("SIGCONT");
  },
  "connections to the broker cut": async (_world, victim) => victim.toBroker.cut(),
  "connections to Postgres cut": async (_world, victim) => victim.toPostgres.cut(),
  "connections to the broker forgotten": async (_world, victim) => victim.toBroker.forget(),
  async "partition from the broker, 12 s"(_world, victim) {
    victim.toBroker.stall();
    await sleep(12_000);
    victim.toBroker.resume();
  },
  async "partition from Postgres, 18 s"(_world, victim) {
    victim.toPostgres.stall();
    await sleep(18_000);
    victim.toPostgres.resume();
  },
  async "confirms swallowed for 4 s"(_world, victim) {
    victim.toBroker.fromBroker = ({ method }) => method !== METHOD.ack;
    await sleep(4_000);
    victim.toBroker.fromBroker = null;
  },
  "replies to COMMIT lost": async (_world, victim) => victim.toPostgres.loseCommits(3),
  "backends terminated": (world) =>
    world.rows(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE 'pocketwatch%'`,
    ),
  async "broker restarted"({ servers }) {
    await servers.broker!.stop();
    await servers.broker!.start();
  },
  async "Postgres killed, away for 3 s"({ servers }) {
    await servers.postgres!.kill();
    await sleep(3_000);
    await servers.postgres!.start();
  },
  "memory alarm for 12 s": ({ servers }) => blockPublishing(servers.broker!, ALARMS.memory),
  "disk alarm for 12 s": ({ servers }) => blockPublishing(servers.broker!, ALARMS.disk),
  "consumers lose their connection": async ({ consumers }) => consumers[0]!.drop(),
};

scenario({
  name: `soak: random faults for ${minutes} min (SOAK_SEED=${seed})`,
  plan: UNHINDERED,
  seconds: minutes * 60,
  settle_seconds: 180,
  async start(world) {
    await Promise.all(["a", "b", "c"].map((name) => world.startInstance(name)));
    world.startConsumer({ work: hesitantWork() });
  },
  async fault(world) {
    const random = generator(seed);
    const names = Object.keys(HARMS);
    while (Date.now() < world.end - 25_000) {
      await sleep(2_000 + random() * 6_000);
      const name = names[Math.floor(random() * names.length)]!;
      const victim = world.instance(["a", "b", "c"][Math.floor(random() * 3)]!);
      console.log(`${Math.round((Date.now() - world.start) / 1_000)} s: ${name} (${victim.name})`);
      await HARMS[name]!(world, victim);
    }
  },
  expectations: { delay: 90 },
});

async function blockPublishing(broker: Broker, { raise, clear }: (typeof ALARMS)[keyof typeof ALARMS]): Promise<void> {
  await broker.ctl(raise);
  await sleep(12_000);
  await broker.ctl(clear);
}

/** mulberry32: the same numbers for the same seed. */
function generator(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
