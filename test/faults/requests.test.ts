import { waitFor } from "../support/wait-for.ts";
import { post, totalOf } from "./http.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";

/* 26: requests that come again and again. */

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
    // All of them, repetitions too: what an instance still holds when it is stopped goes back to the queue.
    await waitFor(async () => (await totalOf(world, "pocketwatch_commands_total")) >= 200, {
      timeoutMs: 60_000,
      describe: "the commands to be carried out",
    });
  },
  async check(world) {
    const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM runs WHERE trigger_type = 'manual'");
    if (row!.n !== 10) throw new Error(`${row!.n} runs for 10 commands`);
  },
});
