import { setTimeout as sleep } from "node:timers/promises";
import { ALARMS } from "./alarms.ts";
import { scenario } from "./scenario.ts";
import type { World } from "./world.ts";

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

for (const [resource, alarm] of Object.entries(ALARMS)) {
  scenario({
    name: `6 ${resource} alarm: publishing blocked for 60 s`,
    async fault(world) {
      await world.at(2);
      await broker(world).ctl(alarm.raise);
      await world.at(62);
      await broker(world).ctl(alarm.clear);
    },
    seconds: 63,
    expectations: { delay: 90 },
  });
}

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
