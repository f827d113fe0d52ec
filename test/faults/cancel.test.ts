import type { Say, TriggerData } from "../support/ledger-consumer.ts";
import { holdRow } from "../support/row-lock.ts";
import { waitFor } from "../support/wait-for.ts";
import { post } from "./http.ts";
import { scenario } from "./scenario.ts";
import type { World } from "./world.ts";

/* 19. A cancel that races the end of its run, and one that races the run's way to a consumer. */

/**
 * What is lined up at the run's row, what the cancel must be told, and how the run must end. Of two words either may win:
 * the second one may come to the row when it is free already, and before the first has woken up.
 */
const RACES = {
  "completed, then cancel": { ends: ["completed"], answer: 409 },
  "cancel, then completed": { ends: ["completed"], answer: 200 },
  "completed, then cancelled": { ends: ["completed", "cancelled"], answer: null },
  "cancelled, then completed": { ends: ["completed", "cancelled"], answer: null },
} as const;
type Race = keyof typeof RACES;

interface Outcome {
  readonly run_id: string;
  readonly race: Race;
  readonly answer: number | null;
}

scenario({
  name: "19 cancel racing completion: every order, at the run's row, with a trigger beside it",
  together: true,
  plan: [{ name: "raced", count: 8, every: 2, columns: { overlap: "buffer_all", catchup: "all" } }],
  ...raced(),
  // The loser's word was confirmed by the broker and changes nothing. Runs wait for the one before them, and races for
  // each other.
  expectations: { late: true, ends: ["completed", "cancelled"], delay: 90 },
  settle_seconds: 90,
});

function raced() {
  const races = Object.keys(RACES) as Race[];
  const outcomes: Outcome[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  let count = 0;
  return {
    async start(world: World) {
      await Promise.all([world.startInstance("a"), world.startInstance("b")]);
      world.startConsumer({
        async work({ data }, say, ack) {
          await say("started");
          ack();
          const started = async () => (await endOf(world, data.run_id)).status === "running";
          await waitFor(started, { describe: "the run to be running" });
          const race = races[count++ % races.length]!;
          // One race at a time, so that nobody else waits for a lock.
          const mine = turn.then(() => lineUp(world, race, data, say));
          turn = mine.catch(() => {});
          outcomes.push({ run_id: data.run_id, race, answer: await mine });
        },
      });
    },
    async fault(world: World) {
      for (let at = 1; at < 8; at++) {
        await world.at(at);
        await post(world.instances[at % 2]!, `schedules/${encodeURIComponent(`raced ${at}`)}/trigger`, {});
      }
    },
    async check(world: World) {
      const won = { "completed, then cancel": 0, "cancel, then completed": 0, completed: 0, cancelled: 0 };
      for (const { run_id, race, answer } of outcomes) {
        const { status, cancel_requested } = await endOf(world, run_id);
        const { ends, answer: expected } = RACES[race];
        // Requested or not: whether the flag came before the end.
        if (
          !(ends as readonly string[]).includes(status) ||
          answer !== expected ||
          cancel_requested !== (answer === 200)
        ) {
          throw new Error(`${race}: ${run_id} is ${status}, flagged: ${cancel_requested}, answer: ${answer}`);
        }
        won[(answer === null ? status : race) as keyof typeof won] += 1;
      }
      console.log(`19, who has won: ${JSON.stringify(won)}`);
      for (const [who, times] of Object.entries(won)) if (times < 3) throw new Error(`${who}: ${times} times`);
    },
  };
}

/** Both stand at the run's row before either may have it. Answers what the cancel was told. */
async function lineUp(world: World, race: Race, { run_id }: TriggerData, say: Say): Promise<number | null> {
  let answer: number | null = null;
  const act = async (what: string) => {
    if (what !== "cancel") return say(what);
    answer = (await post(world.instances[0]!, `runs/${run_id}/cancel`, {})).status;
  };
  const [first, second] = race.split(", then ") as [string, string];
  const row = await holdRow({ url: world.databaseUrl, rows: world.rows }, run_id);
  try {
    const one = act(first);
    await row.waiter(1);
    const two = act(second);
    // Of two words, one instance may hold both: then the second waits there for the first, and no longer than that.
    await (RACES[race].answer === null ? two : row.waiter(2));
    await row.release();
    await Promise.all([one, two]);
  } finally {
    await row.release();
  }
  return answer;
}

async function endOf(world: World, run_id: string): Promise<{ status: string; cancel_requested: boolean }> {
  const [run] = await world.rows<{ status: string; cancel_requested: boolean }>(
    "SELECT status, cancel_requested_at IS NOT NULL AS cancel_requested FROM runs WHERE id = $1",
    [run_id],
  );
  return run!;
}

scenario({
  name: "19 cancel racing the trigger: a pool is opened while the runs that wait for it are cancelled",
  together: true,
  plan: [{ name: "held", count: 200, columns: { overlap: "allow" } }],
  async fault(world) {
    const open = (drained: boolean) => world.rows("UPDATE pools SET drained = $1 WHERE name = 'default'", [drained]);
    const pending = () => world.rows<{ id: string }>("SELECT id FROM runs WHERE status = 'pending' ORDER BY id");
    await open(true);
    const runs = await waitFor(async () => (await pending()).length === 200 && pending(), { timeoutMs: 20_000 });
    const left = [...runs];
    const cancel = async (instance: number) => {
      for (let run = left.pop(); run !== undefined; run = left.pop()) {
        // The doors open when a third of them has been asked for, and the others are on their way.
        if (left.length === 133) void open(false);
        await post(world.instances[instance]!, `runs/${run.id}/cancel`, {});
      }
    };
    await Promise.all([0, 1, 0, 1].map(cancel));
  },
  expectations: { ends: ["completed", "cancelled"] },
  async check(world) {
    const delivered = new Set(world.consumers.flatMap(({ deliveries }) => deliveries.map(({ data }) => data.run_id)));
    const runs = await world.rows<{ id: string; status: string; dispatched: boolean }>(
      "SELECT id, status, dispatched_at IS NOT NULL AS dispatched FROM runs",
    );
    const wrong = runs.filter(({ id, dispatched }) => dispatched !== delivered.has(id));
    if (wrong.length > 0) throw new Error(`delivered although cancelled, or not: ${JSON.stringify(wrong.slice(0, 5))}`);
    const cancelled = runs.filter(({ dispatched }) => !dispatched).length;
    console.log(`19, cancelled before they were handed over: ${cancelled} of ${runs.length}`);
    if (cancelled === 0 || cancelled === runs.length) throw new Error("one of the two has always won");
  },
});
