import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { scenario } from "./scenario.ts";
import type { FaultInstance, World } from "./world.ts";

/* 3, 6, 9 and 27: the servers themselves. One scenario at a time, for all worlds share them. */

const postgres = (world: World) => world.servers.postgres!;
const broker = (world: World) => world.servers.broker!;

scenario({
  name: "3 broker restarted cleanly",
  async fault(world) {
    await world.at(2);
    await broker(world).stop();
    await broker(world).start();
  },
  seconds: 10,
  settle_seconds: 90,
});

scenario({
  name: "3 broker killed (kill -9) and started again",
  async fault(world) {
    await world.at(2);
    await broker(world).kill();
    await broker(world).start();
  },
  seconds: 10,
  settle_seconds: 90,
});

scenario({
  name: "6 memory alarm: publishing blocked for 20 s",
  async fault(world) {
    await world.at(2);
    await broker(world).ctl(["set_vm_memory_high_watermark", "absolute", "1"]);
    await world.at(22);
    await broker(world).ctl(["set_vm_memory_high_watermark", "0.4"]);
  },
  seconds: 23,
});

scenario({
  name: "6 disk alarm: publishing blocked for 20 s",
  async fault(world) {
    await world.at(2);
    await broker(world).ctl(["set_disk_free_limit", "mem_relative", "10000"]);
    await world.at(22);
    await broker(world).ctl(["set_disk_free_limit", "50MB"]);
  },
  seconds: 23,
});

scenario({
  name: "9 Postgres killed (kill -9), away for 5 s",
  async fault(world) {
    await world.at(2);
    await postgres(world).kill();
    await world.at(7);
    await postgres(world).start();
  },
  seconds: 12,
  settle_seconds: 90,
});

scenario({
  name: "9 Postgres stopped in good order, away for 5 s",
  async fault(world) {
    await world.at(2);
    await postgres(world).stop();
    await world.at(7);
    await postgres(world).start();
  },
  seconds: 12,
  settle_seconds: 90,
});

const HEARTBEATS = [
  { name: "long", count: 20, columns: { overlap: "allow", heartbeat_seconds: 3, max_attempts: 1 } },
  { name: "steady", count: 5, every: 1, columns: { overlap: "allow", catchup: "all" } },
] as const;

scenario({
  name: "27 the service and Postgres away for 15 s, five heartbeats long, while consumers go on answering",
  plan: HEARTBEATS,
  async start(world) {
    await Promise.all([world.startInstance("a"), world.startInstance("b")]);
    world.startConsumer({
      async work(trigger, say, ack) {
        await say("started");
        ack();
        // Works until well after everything is back, and says that it lives.
        const ends = trigger.data.schedule_name?.startsWith("long") ? world.start + 32_000 : 0;
        while (Date.now() < ends) {
          await sleep(1_000);
          await say("heartbeat");
        }
        await say("completed");
      },
    });
  },
  async fault(world) {
    await world.at(6);
    for (const instance of world.instances) await instance.kill();
    await postgres(world).kill();
    await world.at(21);
    await postgres(world).start();
    await world.startInstance("c");
  },
  seconds: 10,
  async check(world) {
    const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM runs WHERE attempt > 1");
    if (row!.n > 0) throw new Error(`${row!.n} runs were held to be silent`);
  },
});

scenario({
  name: "start-up: the service first, then Postgres, then the broker",
  async start(world) {
    await Promise.all([broker(world).stop(), postgres(world).stop()]);
    const starting = await Promise.all([
      world.startInstance("a", { unready: true }),
      world.startInstance("b", { unready: true }),
    ]);
    await sleep(4_000);
    for (const { name, log, running } of starting) {
      const tries = log.filter(({ msg }) => msg === "the database is not ready").length;
      if (!running || tries < 2) throw new Error(`${name} tried ${tries} times to reach the database`);
    }
    await postgres(world).start();
    await Promise.all(starting.map((instance) => instance.ready()));
    await broker(world).start();
    world.startConsumer();
  },
  fault: async () => {},
});

scenario({
  name: "shutdown with Postgres and the broker away ends within 15 s",
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
    // The timeout (15 s) and a second for a busy machine.
    if (performance.now() - began > 16_000) throw new Error(took.join(", "));
    await world.startInstance("c");
  },
});

scenario({
  name: "memory stays flat while the broker is away for 60 s and schedules fall due",
  seconds: 62,
  async fault(world) {
    await world.at(2);
    for (const { toBroker } of world.instances) toBroker.refuse();
    await world.at(20);
    const before = await Promise.all(world.instances.map(residentMegabytes));
    await world.at(60);
    const after = await Promise.all(world.instances.map(residentMegabytes));
    for (const { toBroker } of world.instances) toBroker.resume();
    console.log(`resident memory, MB: ${before.join(" and ")} at first, ${after.join(" and ")} 40 s later`);
    if (after.some((size, index) => size > before[index]! + 30)) throw new Error("resident memory has grown");
  },
  expectations: { delay: 90 },
});

scenario({
  name: "shutdown: a second signal ends the process at once",
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

async function residentMegabytes({ pid }: FaultInstance): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1_024);
}
