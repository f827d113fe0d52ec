import { METHOD } from "../support/amqp-proxy.ts";
import { hesitantWork } from "../support/ledger-consumer.ts";
import { waitFor } from "../support/wait-for.ts";
import { MIXED, UNHINDERED } from "./plan.ts";
import { replaceDead, scenario, startDoomed, startHesitant } from "./scenario.ts";

/* 1. A process that dies (kill -9) in each gap in which something could be lost or done twice. */

for (const [gap, words] of [
  ["fire_uncommitted", "before fire commits"],
  ["lease_committed", "between commit and publish"],
  ["dispatch_uncommitted", "before dispatch commits"],
  ["ingest_uncommitted", "before ingest commits"],
  ["ingest_committed", "between ingest's commit and its ack"],
  ["relay_claimed", "in relay, before it publishes"],
  ["relay_confirmed", "in relay, after the confirm"],
] as const) {
  scenario({ name: `1 kill -9 ${words}`, start: startDoomed(gap), fault: replaceDead, together: true });
}

scenario({
  name: "1 kill -9 between commit and publish, polling every 30 s: its sibling knows when the lease expires",
  together: true,
  async start(world) {
    const environment = { POLL_INTERVAL_SECONDS: "30" };
    await world.startInstance("doomed", { environment, failpoint: "lease_committed:kill" });
    await world.startInstance("sibling", { environment });
    world.startConsumer();
  },
  async fault(world) {
    await waitFor(() => !world.instance("doomed").running, { timeoutMs: 30_000, describe: "its death" });
  },
  async check(world) {
    const runs = await world.rows<{ id: string; at: number }>(
      "SELECT id, (extract(epoch FROM dispatched_at) * 1000)::float8 AS at FROM runs WHERE dispatched_at IS NOT NULL",
    );
    const dispatched = new Map(runs.map(({ id, at }) => [id, at]));
    const longest = Math.max(
      ...world.consumers[0]!.deliveries.map(({ data, at }) => at - (dispatched.get(data.run_id) ?? at)),
    );
    // The lease, and three seconds for a busy machine.
    if (longest < 10_000 || longest > 18_000) throw new Error(`a run was under way for ${Math.round(longest)} ms`);
  },
});

scenario({
  name: "1 kill -9 between confirm and the end of the lease",
  plan: UNHINDERED,
  start: startDoomed("publish_confirmed", hesitantWork()),
  fault: replaceDead,
  together: true,
});

scenario({
  name: "1 kill -9 between publish and confirm",
  plan: UNHINDERED,
  start: startHesitant,
  async fault(world) {
    for (const instance of world.instances) {
      instance.toBroker.fromBroker = ({ method }) => method !== METHOD.ack;
      instance.toBroker.fromClient = ({ method, bytes }) => {
        if (method === METHOD.publish && bytes.includes(`${world.prefix}.triggers`)) void instance.kill();
        return true;
      };
    }
    await replaceDead(world);
  },
  together: true,
});

const FLEET = Array.from({ length: 2_500 }, (_, index) => `machine-${index}`);
const BIG = [{ name: "fleet", count: 1, columns: { overlap: "allow", targets: FLEET } }, ...MIXED.slice(0, 2)];
for (const [gap, words] of [
  ["expand_uncommitted", "before a chunk of children commits"],
  ["expand_committed", "between two chunks of children"],
] as const) {
  scenario({ name: `1 kill -9 ${words}`, plan: BIG, start: startDoomed(gap), fault: replaceDead, together: true });
}
