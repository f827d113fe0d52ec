import { emit } from "../database/outbox.ts";
import { makePlans } from "../database/plan-schedules.ts";
import { claimSchedulesToPlan, inWords, writePlans } from "../database/planning.ts";
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
  const done = await deps.database.transaction(async (tx) => {
    const schedules = await claimSchedulesToPlan(tx, batch);
    if (schedules.length === 0) return { planned: 0, problems: 0, news: 0 };
    const plans = await makePlans(tx, deps.actions(), schedules);
    await writePlans(tx, plans);
    const broken = plans.filter(({ plan }) => plan.errors.length > 0);
    const news = broken.filter(({ schedule, plan }) => schedule.problem !== inWords(plan.errors));
    await emit(
      tx,
      news.map(({ schedule, plan }) => scheduleProblem(schedule, inWords(plan.errors)!)),
    );
    return { planned: plans.length, problems: broken.length, news: news.length };
  });
  if (done.planned > 0) deps.wake("fire");
  if (done.news > 0) deps.wake("relay");
  return { planned: done.planned, problems: done.problems, full: done.planned === batch, next_in_ms: null };
}
