import { isDataError, type Tx } from "../database/connection.ts";
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

// First without savepoints: a row that is locked by a transaction and updated by a part of it gets a multixact, which is dear, and
// keeps index scans from passing over the dead row the next time.
async function planBatch(deps: Deps, batch: number, write: Write = writeAll): Promise<PlannedBatch> {
  try {
    const done = await deps.database.transaction(async (tx) => {
      // A plan that a crash of the server takes back is made again. Whatever builds on it (a run, an event that is relayed)
      // is committed after it, and waits for the disk.
      await tx.query("SET LOCAL synchronous_commit = off");
      const schedules = await claimSchedulesToPlan(tx, batch);
      return { planned: schedules.length, ...(await planLocked(deps, tx, schedules, write)) };
    });
    if (done.planned > 0) deps.wake("fire");
    return done;
  } catch (error) {
    if (write !== writeAll || !isDataError(error)) throw error;
    return planBatch(deps, batch, writeByHalves);
  }
}

export interface Planning {
  readonly problems: number;
  /** Events were written to the outbox: problems that nobody had been told of, occurrences that were missed. */
  readonly told: boolean;
  /** Other schedules that need planning because of these. */
  readonly marked: number;
}

const NOTHING: Planning = { problems: 0, told: false, marked: 0 };

/** Plans schedules that the transaction has locked. */
export async function planLocked(
  deps: Deps,
  tx: Tx,
  schedules: readonly ScheduleToPlan[],
  write: Write = writeByHalves,
): Promise<Planning> {
  if (schedules.length === 0) return NOTHING;
  return write(deps, tx, await makePlans(tx, deps.actions(), schedules));
}

type Write = (deps: Deps, tx: Tx, plans: readonly MadePlan[]) => Promise<Planning>;

async function writeAll(_deps: Deps, tx: Tx, plans: readonly MadePlan[]): Promise<Planning> {
  const { missed, marked } = await writePlans(tx, plans);
  const news = newProblems(plans);
  await emit(tx, news);
  const problems = plans.filter(({ plan }) => plan.errors.length > 0).length;
  return { problems, told: missed || news.length > 0, marked };
}

// A batch that Postgres refuses is halved until the offender stands alone; what Postgres says becomes its problem.
async function writeByHalves(deps: Deps, tx: Tx, plans: readonly MadePlan[]): Promise<Planning> {
  await tx.query("SAVEPOINT plans");
  try {
    const planning = await writeAll(deps, tx, plans);
    await tx.query("RELEASE SAVEPOINT plans");
    return planning;
  } catch (error) {
    if (!isDataError(error)) throw error;
    await tx.query("ROLLBACK TO SAVEPOINT plans");
    const [only] = plans;
    if (plans.length === 1 && only !== undefined) return setAside(deps, tx, only, error as Error);
    const middle = plans.length >> 1;
    return sum([
      await writeByHalves(deps, tx, plans.slice(0, middle)),
      await writeByHalves(deps, tx, plans.slice(middle)),
    ]);
  }
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
