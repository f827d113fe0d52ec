import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { hesitantWork } from "../support/ledger-consumer.ts";
import { waitFor } from "../support/wait-for.ts";
import { CAPPED } from "./contracts.ts";
import { UNHINDERED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { FaultInstance } from "./world.ts";
import { hasFaketime, steppingClock, wrongClock } from "./wrong-clock.ts";

/* 11, 18 and 22: processes that stand still, that have another idea of the time, or too much to do. */

for (const [failpoint, words] of [
  ["lease_committed", "between commit and publish"],
  ["publish_confirmed", "between confirm and the end of its lease"],
  ["fire_uncommitted", "inside fire's transaction"],
  ["ingest_committed", "between ingest's commit and its ack"],
]) {
  scenario({
    name: `11 stopped for 35 s ${words}, then resumed`,
    together: true,
    plan: UNHINDERED,
    // Alone at first, so that it is the one that comes to the point; slow consumers, so that what is repeated shows.
    async start(world) {
      await world.startInstance("a", { failpoint: `${failpoint}:pause` });
      world.startConsumer({ work: hesitantWork() });
    },
    async fault(world) {
      const a = world.instance("a");
      await waitFor(async () => (await processState(a)) === "T", { timeoutMs: 30_000, describe: "it to stand still" });
      await world.startInstance("b");
      await sleep(35_000);
      await a.signal("SIGCONT");
    },
    seconds: 10,
    settle_seconds: 90,
  });
}

scenario({
  name: "11 everybody stopped for 35 s at an arbitrary moment, then resumed",
  together: true,
  async fault(world) {
    await world.at(2);
    for (const instance of world.instances) await instance.signal("SIGSTOP");
    await world.at(37);
    for (const instance of world.instances) await instance.signal("SIGCONT");
  },
  seconds: 38,
  settle_seconds: 90,
});

const lastStamp = ({ log }: FaultInstance) => Date.parse(String(log.at(-1)!.time));

if (hasFaketime) {
  scenario({
    name: "18 clocks wrong by two hours, one ahead and one behind",
    together: true,
    async start(world) {
      await Promise.all([
        world.startInstance("ahead", { environment: wrongClock({ FAKETIME: "+2h" }) }),
        world.startInstance("behind", { environment: wrongClock({ FAKETIME: "-2h" }) }),
      ]);
      world.startConsumer();
    },
    fault: async (world) => {
      const [first, second] = world.instances.map(lastStamp);
      if (Math.abs(first! - second!) < 3 * 3_600_000) throw new Error("the clocks are not wrong");
    },
  });
}

if (hasFaketime) {
  const clock = steppingClock();
  scenario({
    name: "18 a clock that steps by two hours, forward, back and forth",
    together: true,
    async start(world) {
      const environment = { ...clock.environment, LOG_LEVEL: "debug" };
      await Promise.all([world.startInstance("stepping", { environment }), world.startInstance("b")]);
      world.startConsumer();
    },
    async fault(world) {
      for (const [at, offset] of [
        [1.5, "+2h"],
        [3.5, "-2h"],
        [5.5, "+0"],
      ] as const) {
        await world.at(at);
        clock.set(offset);
      }
    },
  });
}

scenario({
  name: "22 three database connections for 2,000 runs at one instant",
  together: true,
  async start(world) {
    const environment = { DATABASE_POOL_SIZE: "3" };
    await Promise.all([world.startInstance("a", { environment }), world.startInstance("b", { environment })]);
    world.startConsumer();
  },
  plan: [
    { name: "burst", count: 2_000, columns: { overlap: "allow" } },
    { name: "steady", count: 10, every: 1, columns: { overlap: "allow", catchup: "all" } },
  ],
  fault: async () => {},
});

scenario({
  name: "22 event loop blocked for 5 s while a batch is published",
  together: true,
  async start(world) {
    const failpoint = "lease_committed:block:2";
    await Promise.all([world.startInstance("a", { failpoint }), world.startInstance("b", { failpoint })]);
    world.startConsumer();
  },
  async fault(world) {
    const mute = async (instance: FaultInstance) =>
      fetch(`${instance.http}/livez`, { signal: AbortSignal.timeout(2_500) }).then(
        () => false,
        () => true,
      );
    const blocked = async () => (await Promise.all(world.instances.map(mute))).includes(true);
    await waitFor(blocked, { timeoutMs: 30_000, describe: "an instance that does not answer" });
  },
});

const IN_FLIGHT = 50;

scenario({
  name: `22 10,000 runs through a pool of ${IN_FLIGHT}, three instances, one of them killed: never more in flight`,
  plan: [{ name: "pooled", count: 1_000, every: 1, action: CAPPED, columns: { overlap: "allow", catchup: "all" } }],
  seconds: 9,
  settle_seconds: 240,
  async start(world) {
    await world.rows("UPDATE pools SET max_in_flight = $1 WHERE name = 'capped'", [IN_FLIGHT]);
    await Promise.all(["a", "b", "c"].map((name) => world.startInstance(name)));
    world.startConsumer({ work: (_trigger, say) => say("completed") });
  },
  async fault(world) {
    let most = 0;
    let left = 1;
    for (let looks = 0; left > 0; looks++) {
      const [row] = await world.rows<{ in_flight: number; left: number }>(
        `SELECT count(*) FILTER (WHERE status IN ('dispatched', 'running'))::int AS in_flight,
           10000 - count(completed_at)::int AS left FROM runs`,
      );
      most = Math.max(most, row!.in_flight);
      left = row!.left;
      if (most > IN_FLIGHT) throw new Error(`${most} runs in flight`);
      if (looks === 200) await world.instance("a").kill();
      await sleep(20);
    }
    console.log(`22, most in flight: ${most} of ${IN_FLIGHT}`);
    if (most < IN_FLIGHT || world.instance("a").running) throw new Error("the pool was never full, or nobody died");
  },
  expectations: { delay: 240 },
});

/** `R`, `S`, `T` (stopped) …, as the system says. */
async function processState({ pid }: FaultInstance): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[0];
}
