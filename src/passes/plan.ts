import { isDataError, type Tx } from "../database/connection.ts";
import { emit, type OutboxMessage } from "../database/outbox.ts";
import { makePlans } from "../database/plan-schedules.ts";
import {
  claimSchedulesToPlan,
  inWords,
  type MadePlan,
  markDependents,
  type ScheduleToPlan,
  writePlans,
  writeProblem,
} from "../database/planning.ts";
import type { Deps } from "../deps.ts";
import type { PassResult } from "../runtime/loop.ts";
import { scheduleProblem } from "./events.ts";

const BATCH = 1_000;

export interface PlanResult extends PassResult {
  readonly planned: number;
  readonly problems: number;
}

/**
 * Validates edited schedules and computes when they are due next. A schedule that cannot be used gets its `problem` in
 * words and an event; every other one goes on.
 */
export async function plan(deps: Deps, batch = BATCH): Promise<PlanResult> {
  const { planned, problems, news, marked } = await deps.database.transaction(async (tx) => {
    const schedules = await claimSchedulesToPlan(tx, batch);
    return { planned: schedules.length, ...(await planLocked(deps, tx, schedules)) };
  });
  if (planned > 0) deps.wake("fire");
  if (news > 0) deps.wake("relay");
  return { planned, problems, full: planned === batch || marked > 0, next_in_ms: null };
}

export interface Planning {
  readonly problems: number;
  /** Problems that nobody has been told of yet: events were written to the outbox. */
  readonly news: number;
  /** Other schedules that need planning because of these. */
  readonly marked: number;
}

/** Plans schedules that the transaction has locked. */
export async function planLocked(deps: Deps, tx: Tx, schedules: readonly ScheduleToPlan[]): Promise<Planning> {
  if (schedules.length === 0) return { problems: 0, news: 0, marked: 0 };
  const plans = await write(deps, tx, await makePlans(tx, deps.actions(), schedules));
  const broken = plans.filter((made) => problemOf(made) !== null);
  const mended = plans.filter((made) => made.schedule.unresolved && made.plan.errors.length === 0);
  const marked = await markDependents(
    tx,
    mended.map(({ schedule }) => schedule.id),
  );
  return { problems: broken.length, news: newProblems(plans).length, marked };
}

// A batch that Postgres refuses is halved until the offender stands alone; what Postgres says becomes its problem.
async function write(deps: Deps, tx: Tx, plans: readonly MadePlan[]): Promise<readonly MadePlan[]> {
  await tx.query("SAVEPOINT plans");
  try {
    await writePlans(tx, plans);
    await emit(tx, newProblems(plans));
    await tx.query("RELEASE SAVEPOINT plans");
    return plans;
  } catch (error) {
    if (!isDataError(error)) throw error;
    await tx.query("ROLLBACK TO SAVEPOINT plans");
    const [only] = plans;
    if (plans.length === 1 && only !== undefined) return [await setAside(deps, tx, only, error as Error)];
    const middle = plans.length >> 1;
    const first = await write(deps, tx, plans.slice(0, middle));
    return [...first, ...(await write(deps, tx, plans.slice(middle)))];
  }
}

async function setAside(deps: Deps, tx: Tx, { schedule }: MadePlan, error: Error): Promise<MadePlan> {
  const plan = {
    next_run_at: null,
    resolved: null,
    missed: null,
    errors: [{ field: "schedule", message: `its plan cannot be stored: ${error.message}` }],
  };
  deps.logger.warn({ schedule: schedule.name, err: error }, "a plan cannot be stored");
  await writeProblem(tx, schedule.id, problemOf({ schedule, plan })!);
  await emit(tx, newProblems([{ schedule, plan }]));
  return { schedule, plan };
}

/** A problem is told once, however often the schedule is planned with it. */
function newProblems(plans: readonly MadePlan[]): OutboxMessage[] {
  return plans.flatMap((made) => {
    const problem = problemOf(made);
    return problem === null || problem === made.schedule.problem ? [] : [scheduleProblem(made.schedule, problem)];
  });
}

function problemOf({ plan }: MadePlan): string | null {
  return inWords(plan.errors);
}
