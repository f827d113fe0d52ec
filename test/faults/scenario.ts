import { test } from "vitest";
import { hesitantWork, ordinaryWork } from "../support/ledger-consumer.ts";
import { waitFor } from "../support/wait-for.ts";
import { MIXED, type Planned } from "./plan.ts";
import type { Servers } from "./servers.ts";
import { type Expectations, judge, queueFaults, reportFaults, type Verdict } from "./verdict.ts";
import { createWorld, type World } from "./world.ts";

/** One line of the table that the full run prints. */
export interface Row extends Omit<Verdict, "faults"> {
  readonly fault: string;
}

declare module "vitest" {
  interface TaskMeta {
    row?: Row;
  }
}

export interface Scenario {
  /** Its number in the table of the issue, and what happens. */
  readonly name: string;
  readonly plan?: readonly Planned[];
  /** For how long schedules fall due. */
  readonly seconds?: number;
  /** Before anything is due; default: instances "a" and "b" and an ordinary consumer. */
  readonly start?: (world: World) => Promise<void>;
  /** From the first instant on. */
  readonly fault: (world: World) => Promise<unknown>;
  /** Other servers than the run's. */
  readonly servers?: (shared: Servers) => Promise<Servers>;
  readonly expectations?: Expectations;
  /** How long everything may take to come to rest after the last instant and the fault. */
  readonly settle_seconds?: number;
  /** Harms only its own world, so that others of its file may run meanwhile. */
  readonly together?: boolean;
  /** What this scenario alone wants to be true at the end. */
  readonly check?: (world: World) => Promise<void>;
}

/** Runs the schedules while the fault happens, waits until all has come to rest, and judges. */
export function scenario(options: Scenario): void {
  const { name, plan = MIXED, seconds = 8, expectations = {}, settle_seconds = 60 } = options;
  const timeout = (seconds + settle_seconds + 120) * 1_000;
  test(name, { timeout, concurrent: options.together ?? false }, async ({ task, expect }) => {
    const world = await createWorld(options.servers);
    try {
      await (options.start ?? startPair)(world);
      await world.plan(plan, seconds);
      await world.at(0);
      await options.fault(world);
      await world.at(seconds);
      const restless = await settle(world, expectations, settle_seconds);
      const { faults, ...row } = await judge(world, expectations);
      task.meta.row = { fault: name, ...row };
      const exits = await stopAll(world);
      const queues = await queueFaults(world, expectations);
      expect([...restless, ...brief(faults), ...exits, ...queues], explain(world)).toEqual([]);
      await options.check?.(world);
    } finally {
      await world.close();
    }
  });
}

export async function startPair(world: World): Promise<void> {
  await Promise.all([world.startInstance("a"), world.startInstance("b")]);
  world.startConsumer();
}

/** Two instances that die at a failpoint. `replaceDead` goes with it. */
export function startDoomed(failpoint: string, work = ordinaryWork) {
  return async (world: World) => {
    await Promise.all([1, 2].map((n) => world.startInstance(`doomed-${n}`, { failpoint: `${failpoint}:kill` })));
    world.startConsumer({ work });
  };
}

/** Waits until an instance has come to its gap and died, and starts another. */
export async function replaceDead(world: World): Promise<void> {
  const dead = () => world.instances.find((instance) => !instance.running);
  const first = await waitFor(dead, { timeoutMs: 30_000, describe: "the death of an instance" });
  if ((await first.ended) !== "SIGKILL") throw new Error(`${first.name} died of something else`);
  await world.startInstance("successor");
}

/** Two instances, and consumers so slow that what is published again is seen twice. */
export async function startHesitant(world: World): Promise<void> {
  await Promise.all([world.startInstance("a"), world.startInstance("b")]);
  world.startConsumer({ work: hesitantWork() });
}

const REST = `
  SELECT (SELECT count(*)::int FROM schedules WHERE needs_planning OR (next_run_at IS NOT NULL AND enabled)) AS schedules,
    (SELECT count(*)::int FROM runs WHERE completed_at IS NULL AND status_reason IS DISTINCT FROM $1) AS runs,
    (SELECT count(*)::int FROM leases) AS leases, (SELECT count(*)::int FROM outbox) AS outbox`;

/** Until nothing is due, under way or waiting; what is restless after that time, in words. */
async function settle(world: World, expectations: Expectations, seconds: number): Promise<string[]> {
  let seen = "";
  const still = async () => {
    const [row] = await world.rows<Record<string, number>>(REST, [expectations.held ?? "-"]);
    const busy = world.consumers.reduce((sum, consumer) => sum + consumer.busy, 0);
    seen = JSON.stringify({ ...row, busy });
    if (Object.values(row!).some((count) => count > 0) || busy > 0) return false;
    // Instances share the status queue: what one has in hand may come after the end that another has written.
    const unread = (await reportFaults(world, expectations)).length;
    seen = JSON.stringify({ ...row, busy, unread });
    return unread === 0;
  };
  try {
    await waitFor(still, { timeoutMs: seconds * 1_000, intervalMs: 100 });
    return [];
  } catch {
    return [`it did not come to rest within ${seconds} s: ${seen}`];
  }
}

/** Every instance that still runs ends on SIGTERM with exit code 0. */
async function stopAll(world: World): Promise<string[]> {
  const running = world.instances.filter((instance) => instance.running && !instance.doomed);
  const exits = await Promise.all(running.map(async (instance) => [instance.name, await instance.stop()] as const));
  await Promise.all(world.consumers.map((consumer) => consumer.close()));
  return exits.flatMap(([name, how]) => (how === "exit code 0" ? [] : [`instance ${name} ended with ${how}`]));
}

const brief = (faults: readonly string[]) =>
  faults.length <= 12 ? faults : [...faults.slice(0, 12), `… and ${faults.length - 12} more`];

/** What the instances complained about, for whoever has to find out why a scenario failed. */
function explain(world: World): string {
  return world.instances
    .map(({ name, log, noise }) => {
      const lines = log.filter(({ level }) => Number(level) >= 40).map((line) => JSON.stringify(line).slice(0, 400));
      return [
        `-- ${name}`,
        ...lines.slice(0, 15),
        ...(lines.length > 15 ? ["…", ...lines.slice(-10)] : []),
        ...noise.slice(-20),
      ].join("\n");
    })
    .join("\n");
}
