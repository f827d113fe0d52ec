import { setTimeout as sleep } from "node:timers/promises";
import { METHOD } from "../support/amqp-proxy.ts";
import { waitFor } from "../support/wait-for.ts";
import { MIXED } from "./plan.ts";
import { scenario, startPair } from "./scenario.ts";
import type { FaultInstance, World } from "./world.ts";

/* Start-up in any order of Postgres, the broker and the service; and SIGTERM. */

/** Every order that the service can tell from another: where it comes last, the servers' order is nothing to it. */
const ORDERS = [
  ["the service", "Postgres", "the broker"],
  ["the service", "the broker", "Postgres"],
  ["Postgres", "the service", "the broker"],
  ["the broker", "the service", "Postgres"],
  ["the broker", "Postgres", "the service"],
] as const;
const COMPLAINTS = { Postgres: "the database is not ready", "the broker": "cannot connect to RabbitMQ" };
type Missing = keyof typeof COMPLAINTS;

for (const order of ORDERS) {
  scenario({
    name: `start-up: ${order.join(", then ")}`,
    seconds: 4,
    async start(world) {
      const servers = { Postgres: world.servers.postgres!, "the broker": world.servers.broker! };
      await Promise.all(Object.values(servers).map((server) => server.stop()));
      for (const thing of order) {
        if (thing !== "the service") await servers[thing].start();
        else await startWithout(world, order.slice(order.indexOf(thing) + 1) as Missing[]);
      }
      await Promise.all(world.instances.map((instance) => instance.ready()));
      await Promise.all(world.instances.map(untilReady));
      world.startConsumer();
    },
    fault: async () => {},
  });
}

/** Starts two instances, and lets them try in vain for a while to reach what is missing. */
async function startWithout(world: World, missing: readonly Missing[]): Promise<void> {
  const starting = ["a", "b"].map((name) => world.startInstance(name, { unready: true }));
  for (const { name, log } of await Promise.all(starting)) {
    for (const thing of missing) {
      const tries = () => log.filter(({ msg }) => msg === COMPLAINTS[thing]).length;
      await waitFor(() => tries() >= 3, {
        timeoutMs: 20_000,
        describe: () => `${name} to try again to reach ${thing} (${tries()} times so far)`,
      });
    }
  }
  for (const { name, running } of world.instances) if (!running) throw new Error(`${name} has given up`);
}

const untilReady = (instance: FaultInstance) =>
  waitFor(async () => (await fetch(`${instance.http}/readyz`)).ok, {
    timeoutMs: 30_000,
    describe: `${instance.name} to be ready`,
  });

const startAlone =
  (environment: Record<string, string> = {}) =>
  async (world: World) => {
    await world.startInstance("a", { environment });
    world.startConsumer();
  };

/** Its next batches are published and not confirmed, until `release`. */
async function withholdConfirms(world: World): Promise<FaultInstance> {
  const a = world.instance("a");
  await world.at(2);
  const { toBroker } = a;
  toBroker.fromBroker = (frame, link) => frame.method !== METHOD.ack || toBroker.keepBack(frame, link);
  // Every lane is taken, so that whoever claims next already waits for one.
  await waitFor(async () => (await leases(world)) >= 4, { describe: "four batches to be under way" });
  return a;
}

async function leases(world: World): Promise<number> {
  const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM leases");
  return row!.n;
}

scenario({
  name: "shutdown: SIGTERM claims nothing more, finishes four batches that are under way, exits 0",
  together: true,
  start: startAlone(),
  async fault(world) {
    const a = await withholdConfirms(world);
    const [signalled] = await world.rows<{ at: Date }>("SELECT clock_timestamp() AS at");
    const ending = a.stop();
    await sleep(3_000);
    if (!a.running) throw new Error("it did not wait for the broker's confirms");
    a.toBroker.fromBroker = null;
    a.toBroker.release();
    const how = await ending;
    // Schedules fall due every second. What a transaction that was under way claims, it has claimed as of its beginning;
    // a second is for a busy machine to deliver the signal.
    const late = await world.rows(
      "SELECT FROM runs WHERE greatest(created_at, dispatched_at) > $1::timestamptz + interval '1 second'",
      [signalled!.at],
    );
    if (late.length > 0) throw new Error(`it went on claiming: ${late.length} runs`);
    const left = await leases(world);
    if (how !== "exit code 0" || left > 0) throw new Error(`${how}, ${left} leases left`);
    await world.startInstance("successor");
  },
});

scenario({
  name: "shutdown: with a broker that never confirms, it ends when SHUTDOWN_TIMEOUT_SECONDS (3) are over, exits 0",
  together: true,
  start: startAlone({ SHUTDOWN_TIMEOUT_SECONDS: "3" }),
  async fault(world) {
    const a = await withholdConfirms(world);
    const began = performance.now();
    const how = await a.stop();
    const took = performance.now() - began;
    // Two seconds for a busy machine.
    if (how !== "exit code 0" || took < 2_900 || took > 5_000) throw new Error(`${how} after ${Math.round(took)} ms`);
    if ((await leases(world)) === 0) throw new Error("nothing was left to its lease");
    await world.startInstance("successor");
  },
});

scenario({
  name: "shutdown: with Postgres and the broker away, it ends within 15 s",
  together: true,
  async fault(world) {
    await world.at(3);
    const [a, b] = world.instances;
    a!.toPostgres.stall();
    a!.toBroker.stall();
    b!.toPostgres.refuse();
    b!.toBroker.refuse();
    await world.at(4);
    const began = performance.now();
    const took = await Promise.all(
      [a!, b!].map(async (instance) => {
        const how = await instance.stop();
        return `${instance.name} after ${((performance.now() - began) / 1_000).toFixed(1)} s with ${how}`;
      }),
    );
    console.log(`ended without Postgres and broker: ${took.join(", ")}`);
    // The timeout (15 s) and two seconds for a busy machine to deliver the signal and to end a process.
    if (performance.now() - began > 17_000) throw new Error(took.join(", "));
    if (took.some((line) => !line.endsWith("exit code 0"))) throw new Error(took.join(", "));
    await world.startInstance("c");
  },
});

scenario({
  name: "shutdown: a second signal ends the process at once",
  together: true,
  async fault(world) {
    await world.at(2);
    const a = world.instance("a");
    a.toPostgres.stall();
    const ending = a.stop();
    await sleep(500);
    const began = performance.now();
    await a.signal("SIGTERM");
    const how = await ending;
    if (how !== "exit code 1" || performance.now() - began > 2_000) throw new Error(`it ended with ${how}`);
  },
});

scenario({
  name: "shutdown: rolling restart (SIGTERM) under load",
  together: true,
  plan: MIXED,
  start: startPair,
  // One instance at a time is replaced.
  async fault(world) {
    for (const [at, name] of [
      [2, "a"],
      [5, "b"],
    ] as const) {
      await world.at(at);
      const [how] = await Promise.all([world.instance(name).stop(), world.startInstance(`${name}2`)]);
      if (how !== "exit code 0") throw new Error(`${name} ended with ${how}`);
    }
  },
});
