import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../support/wait-for.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { FaultInstance, World } from "./world.ts";

/* 19 and 26: requests that race each other, what consumers say, and themselves. */

const post = (instance: FaultInstance, path: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${instance.http}/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

scenario({
  name: "26 the same Idempotency-Key from 50 clients at once, ten times",
  together: true,
  plan: MIXED.slice(0, 2),
  async fault(world) {
    await world.at(1);
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, client) => {
          const instance = world.instances[client % world.instances.length]!;
          const body = { action: "work.item", payload: { round } };
          const answer = await post(instance, "runs", body, { "idempotency-key": `round-${round}` });
          return { status: answer.status, id: ((await answer.json()) as { id?: string }).id };
        }),
      );
      const ids = new Set(answers.map(({ id }) => id));
      if (ids.size !== 1 || ids.has(undefined))
        throw new Error(`round ${round}: ${JSON.stringify(answers.slice(0, 5))}`);
    }
  },
  async check(world) {
    const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM runs WHERE trigger_type = 'manual'");
    if (row!.n !== 10) throw new Error(`${row!.n} runs for 10 keys`);
  },
});

scenario({
  name: "26 every command delivered 20 times, ten commands",
  together: true,
  plan: MIXED.slice(0, 2),
  async fault(world) {
    await world.at(1);
    const [consumer] = world.consumers;
    const commands = Array.from({ length: 200 }, (_, index) => {
      const type = "run.trigger.v1";
      const data = { action: "work.item", payload: { command: index % 10 } };
      const event = { specversion: "1.0", id: `command-${index % 10}`, type, source: "/rig", data };
      return consumer!.publish(`${world.prefix}.commands`, type, Buffer.from(JSON.stringify(event)));
    });
    await Promise.all(commands);
    const manual = "SELECT FROM runs WHERE trigger_type = 'manual'";
    await waitFor(async () => (await world.rows(manual)).length >= 10, { describe: "the commands to be carried out" });
  },
  async check(world) {
    const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM runs WHERE trigger_type = 'manual'");
    if (row!.n !== 10) throw new Error(`${row!.n} runs for 10 commands`);
  },
});

scenario({
  name: "19 cancel racing completion and trigger",
  together: true,
  plan: [{ name: "raced", count: 10, every: 1, columns: { overlap: "buffer_all", catchup: "all" } }],
  async start(world) {
    await Promise.all([world.startInstance("a"), world.startInstance("b")]);
    let turn = 0;
    world.startConsumer({
      async work({ data }, say, ack) {
        await say("started");
        ack();
        const instance = world.instances[turn++ % 2]!;
        // All three at once, in a different order each time.
        const wait = () => sleep(Math.random() * 20);
        await Promise.all([
          wait().then(() => say("completed")),
          wait().then(() => post(instance, `runs/${data.run_id}/cancel`, {})),
          turn % 5 === 0 && wait().then(() => trigger(instance, data.schedule_name!)),
        ]);
      },
    });
  },
  fault: async () => {},
  // Whoever was first has won; the other one's word changes nothing.
  expectations: { late: true, ends: ["completed", "cancelled"] },
  settle_seconds: 90,
  check: oneEndEach,
});

const trigger = (instance: FaultInstance, name: string) =>
  post(instance, `schedules/${encodeURIComponent(name)}/trigger`, {});

async function oneEndEach(world: World): Promise<void> {
  const rows = await world.rows<{ status: string; n: number }>(
    "SELECT status, count(*)::int AS n FROM runs WHERE completed_at IS NOT NULL GROUP BY 1 ORDER BY 1",
  );
  console.log(`cancel racing completion: ${JSON.stringify(rows)}`);
}
