import { METHOD } from "../support/amqp-proxy.ts";
import { hesitantWork, ordinaryWork } from "../support/ledger-consumer.ts";
import { waitFor } from "../support/wait-for.ts";
import { MIXED } from "./plan.ts";
import { scenario, startHesitant } from "./scenario.ts";
import type { World } from "./world.ts";

/* 1. A process that dies (kill -9) in each gap in which something could be lost or done twice. */

const dyingAt =
  (failpoint: string, work = ordinaryWork) =>
  async (world: World) => {
    await Promise.all([world.startInstance("dying", { failpoint: `${failpoint}:kill` }), world.startInstance("b")]);
    world.startConsumer({ work });
  };
/** The scenario has happened only if the instance came to its gap. */
const died = (world: World) =>
  waitFor(() => !world.instance("dying").running, { timeoutMs: 30_000, describe: "the death" });
const together = true;

scenario({ name: "1 kill -9 before fire commits", start: dyingAt("fire_uncommitted"), fault: died, together });
scenario({ name: "1 kill -9 between commit and publish", start: dyingAt("lease_committed"), fault: died, together });
scenario({
  name: "1 kill -9 between publish and confirm",
  start: startHesitant,
  fault: async (world) => {
    const { toBroker, ...a } = await dying(world);
    toBroker.fromBroker = ({ method }) => method !== METHOD.ack;
    toBroker.fromClient = ({ method, bytes }) => {
      if (method === METHOD.publish && bytes.includes(`${world.prefix}.triggers`)) void a.kill();
      return true;
    };
    await a.ended;
  },
  together,
});
scenario({
  name: "1 kill -9 between confirm and the end of the lease",
  start: dyingAt("publish_confirmed", hesitantWork()),
  fault: died,
  together,
});
scenario({ name: "1 kill -9 before dispatch commits", start: dyingAt("dispatch_uncommitted"), fault: died, together });
scenario({ name: "1 kill -9 before ingest commits", start: dyingAt("ingest_uncommitted"), fault: died, together });
scenario({
  name: "1 kill -9 between ingest's commit and its ack",
  start: dyingAt("ingest_committed"),
  fault: died,
  together,
});
scenario({ name: "1 kill -9 in relay, before publishing", start: dyingAt("relay_claimed"), fault: died, together });
scenario({ name: "1 kill -9 in relay, after the confirm", start: dyingAt("relay_confirmed"), fault: died, together });

const FLEET = Array.from({ length: 2_500 }, (_, index) => `machine-${index}`);
const BIG = [{ name: "fleet", count: 1, columns: { overlap: "allow", targets: FLEET } }, ...MIXED.slice(0, 2)];
for (const [gap, words] of [
  ["expand_uncommitted", "before a chunk of children commits"],
  ["expand_committed", "between two chunks of children"],
]) {
  scenario({
    name: `1 kill -9 ${words}`,
    plan: BIG,
    // Alone at first, or the other one might do all chunks.
    async start(world) {
      await world.startInstance("dying", { failpoint: `${gap}:kill` });
      world.startConsumer();
    },
    async fault(world) {
      await died(world);
      await world.startInstance("b");
    },
    together,
  });
}

async function dying(world: World) {
  const instance = world.instance("a");
  return { toBroker: instance.toBroker, kill: () => instance.kill(), ended: instance.ended };
}
