import type { Tx } from "../database/connection.ts";
import { emit, type OutboxMessage } from "../database/outbox.ts";
import { makePlans } from "../database/plan-schedules.ts";
import {
  claimSchedulesToPlan,
  inWords,
  type MadePlan,
  type ScheduleToPlan,
  writePlans,
  writeProblem,
} from "../database/planning.ts";
import { type WriteItems, wholeFirst, writeByHalves } from "../database/write-items.ts";
import type { Deps } from "../deps.ts";
import type { PassResult } from "../runtime/loop.ts";
import { scheduleProblem } from "./events.ts";

const BATCH = 1_000;
/** Of a backlog, so many batches are planned by each of the two lanes before the pass returns. */
const LANE_BATCHES = 4;

export interface PlanResult extends PassResult {
  readonly planned: number;
  readonly problems: number;
}

/**
 * Validates edited schedules and computes when they are due next. A schedule that cannot be used gets its `problem` in
 * words and an event; every other one goes on. A backlog is planned in two lanes: one batch is computed here while the
 * other is read or written by Postgres.
 */
export async function plan(deps: Deps, batch = BATCH): Promise<PlanResult> {
  const first = await planBatch(deps, batch);
  const lanes = first.planned < batch ? [] : await both(planLane(deps, batch), planLane(deps, batch));
  const batches = [first, ...lanes.flat()];
  const { problems, told, marked } = sum(batches);
  if (told) deps.wake("relay");
  return {
    planned: batches.reduce((total, each) => total + each.planned, 0),
    problems,
    full: marked > 0 || batches.at(-1)!.planned === batch,
    next_in_ms: null,
  };
}

/** Settles when both have, so that a lane whose sibling failed is not left running. */
async function both<T>(one: Promise<T>, other: Promise<T>): Promise<T[]> {
  await Promise.allSettled([one, other]);
  return Promise.all([one, other]);
}

async function planLane(deps: Deps, batch: number): Promise<PlannedBatch[]> {
  const batches: PlannedBatch[] = [];
  while (batches.length < LANE_BATCHES) {
    batches.push(await planBatch(deps, batch));
    if (batches.at(-1)!.planned < batch) break;
  }
  return batches;
}

type PlannedBatch = Planning & { readonly planned: number };

async function planBatch(deps: Deps, batch: number): Promise<PlannedBatch> {
  const done = await wholeFirst((writeItems) =>
    deps.database.transaction(async (tx) => {
      // A plan that a crash of the server takes back is made again. Whatever builds on it (a run, an event that is relayed)
      // is committed after it, and waits for the disk.
      await tx.query("SET LOCAL synchronous_commit = off");
      const schedules = await claimSchedulesToPlan(tx, batch);
      return { planned: schedules.length, ...(await planLocked(deps, tx, schedules, writeItems)) };
    }),
  );
  if (done.planned > 0) deps.wake("fire");
  return done;
}

export interface Planning {
  readonly problems: number;
  /** Events were written to the outbox: problems that nobody had been told of, occurrences that were missed. */
  readonly told: boolean;
  /** Other schedules that need planning because of these. */
  readonly marked: number;
}

/** Plans schedules that the transaction has locked; what Postgres says of one whose plan it refuses becomes its problem. */
export async function planLocked(
  deps: Deps,
  tx: Tx,
  schedules: readonly ScheduleToPlan[],
  writeItems: WriteItems = writeByHalves,
): Promise<Planning> {
  if (schedules.length === 0) return sum([]);
  const plans = await makePlans(tx, deps.actions(), schedules);
  const parts = await writeItems(
    tx,
    plans,
    (some) => write(tx, some),
    (plan, error) => setAside(deps, tx, plan, error),
  );
  return sum(parts);
}

async function write(tx: Tx, plans: readonly MadePlan[]): Promise<Planning> {
  const { missed, marked } = await writePlans(tx, plans);
  const news = newProblems(plans);
  await emit(tx, news);
  const problems = plans.filter(({ plan }) => plan.errors.length > 0).length;
  return { problems, told: missed || news.length > 0, marked };
}

function sum(parts: readonly Planning[]): Planning {
  return {
    problems: parts.reduce((total, part) => total + part.problems, 0),
    told: parts.some((part) => part.told),
    marked: parts.reduce((total, part) => total + part.marked, 0),
  };
}

async function setAside(deps: Deps, tx: Tx, { schedule }: MadePlan, error: Error): Promise<Planning> {
  const plan = {
    next_run_at: null,
    resolved: null,
    missed: null,
    errors: [{ field: "schedule", message: `its plan cannot be stored: ${error.message}` }],
  };
  deps.logger.warn({ schedule: schedule.name, err: error }, "a plan cannot be stored");
  await writeProblem(tx, schedule.id, inWords(plan.errors)!);
  const news = newProblems([{ schedule, plan }]);
  await emit(tx, news);
  return { problems: 1, told: news.length > 0, marked: 0 };
}

/** A problem is told once, however often the schedule is planned with it. */
function newProblems(plans: readonly MadePlan[]): OutboxMessage[] {
  return plans.flatMap(({ schedule, plan }) => {
    const problem = inWords(plan.errors);
    return problem === null || problem === schedule.problem ? [] : [scheduleProblem(schedule, problem)];
  });
}
