import { setTimeout as sleep } from "node:timers/promises";
import { METHOD } from "../support/amqp-proxy.ts";
import { waitFor } from "../support/wait-for.ts";
import { ITEM } from "./contracts.ts";
import { UNHINDERED } from "./plan.ts";
import { scenario, startHesitant } from "./scenario.ts";
import type { World } from "./world.ts";

/* 2 to 7 and 15: what happens to the way to the broker, and to what stands on it. */

const proxies = (world: World) => world.instances.map((instance) => instance.toBroker);

scenario({
  name: "2 connection dropped mid-confirm, again and again",
  plan: UNHINDERED,
  start: startHesitant,
  together: true,
  async fault(world) {
    for (const at of [1, 2.5, 4, 5.5]) {
      await world.at(at);
      for (const proxy of proxies(world)) {
        proxy.fromBroker = ({ method }, link) => {
          if (method !== METHOD.ack) return true;
          proxy.fromBroker = null;
          link.cut();
          return false;
        };
      }
    }
  },
});

scenario({
  name: "2 confirms swallowed for 3 s",
  plan: UNHINDERED,
  start: startHesitant,
  together: true,
  async fault(world) {
    await world.at(2);
    for (const proxy of proxies(world)) proxy.fromBroker = ({ method }) => method !== METHOD.ack;
    await world.at(5);
    for (const proxy of proxies(world)) proxy.fromBroker = null;
  },
});

scenario({
  name: "4 connection dropped while the topology is declared",
  together: true,
  async start(world) {
    world.startConsumer();
    const drops = [METHOD.queueDeclared, METHOD.queueDeclared, "50.21", "50.21", "40.11"];
    await world.startInstance("a", {
      prepare({ toBroker }) {
        let seen = 0;
        toBroker.fromBroker = ({ method }, link) => {
          if (method !== drops[0]) return true;
          seen += 1;
          if (seen % 3 !== 0) return true;
          drops.shift();
          link.cut();
          return false;
        };
      },
    });
  },
  async fault(world) {
    await world.at(3);
    world.instance("a").toBroker.cut();
  },
});

scenario({
  name: "5 consumers cancelled: the status queue is deleted",
  together: true,
  async start(world) {
    await Promise.all([world.startInstance("a"), world.startInstance("b")]);
    // A message that is in a queue when somebody deletes it is gone: nothing may be in it.
    const ready = sleepUntil(world, 4);
    world.startConsumer({
      async work(_trigger, say, ack) {
        await ready();
        await say("started");
        ack();
        await say("completed");
      },
    });
  },
  async fault(world) {
    const queue = `${world.prefix}.status`;
    await world.at(2);
    await world.onBroker((channel) => channel.deleteQueue(queue));
    await world.at(3);
    await waitFor(() => world.onBroker(async (channel) => (await channel.checkQueue(queue)).consumerCount > 0), {
      describe: "the queue to be back",
    });
  },
});

scenario({
  name: "5 channel closed alone: the triggers' exchange is deleted, and restored 3 s later",
  together: true,
  async fault(world) {
    const exchange = `${world.prefix}.triggers`;
    await world.at(2);
    await world.onBroker((channel) => channel.deleteExchange(exchange));
    await world.at(5);
    await world.onBroker(async (channel) => {
      await channel.assertExchange(exchange, "topic", { durable: true });
      for (const binding of world.topology.bindings.filter((each) => each.exchange === exchange)) {
        await channel.bindQueue(binding.queue, exchange, binding.routing_key);
      }
    });
  },
});

scenario({
  name: "7 silent partition of one instance from the broker, 60 s",
  together: true,
  async fault(world) {
    await world.at(2);
    world.instance("a").toBroker.stall();
    await world.at(62);
    world.instance("a").toBroker.resume();
  },
  seconds: 63,
  settle_seconds: 90,
  expectations: { delay: 90 },
});

scenario({
  name: "7 silent partition of everybody from the broker, 60 s",
  together: true,
  async fault(world) {
    await world.at(2);
    for (const proxy of proxies(world)) proxy.stall();
    await world.at(62);
    for (const proxy of proxies(world)) proxy.resume();
  },
  seconds: 63,
  settle_seconds: 90,
  expectations: { delay: 90 },
});

scenario({
  name: "7 the network forgets the broker's connections; new ones work",
  together: true,
  async fault(world) {
    await world.at(2);
    for (const proxy of proxies(world)) proxy.forget();
  },
  settle_seconds: 90,
});

scenario({
  name: "15 no queue bound to an action's exchange for 5 s",
  together: true,
  async fault(world) {
    const { exchange, routing_key } = world.topology.bindings.find(({ queue }) => queue === world.work(ITEM))!;
    await world.at(2);
    // Again until it shows: the service declares what is missing at every poll, which may come before the next trigger.
    const unbound = async () => {
      await world.onBroker((channel) => channel.unbindQueue(world.work(ITEM), exchange, routing_key));
      return (await pendingUnroutable(world)) > 0;
    };
    await waitFor(unbound, { describe: "a run that says why it waits" });
    await world.at(7);
    await world.onBroker((channel) => channel.bindQueue(world.work(ITEM), exchange, routing_key));
  },
});

async function pendingUnroutable(world: World): Promise<number> {
  const [row] = await world.rows<{ n: number }>(
    "SELECT count(*)::int AS n FROM runs WHERE status = 'pending' AND status_reason = 'unroutable'",
  );
  return row!.n;
}

const sleepUntil = (world: World, second: number) => async () => {
  await waitFor(() => world.start > 0);
  await sleep(Math.max(0, world.start + second * 1_000 - Date.now()));
};
