import type { Tx } from "../database/connection.ts";
import { type LockedSchedule, lockSchedule } from "../database/schedule-runs.ts";
import type { Deps } from "../deps.ts";
import { Conflict, InvalidInput } from "../schedule/errors.ts";
import type { ResolvedPolicy } from "../schedule/planning.ts";
import { lockNamedSchedule } from "./find-schedule.ts";
import { planNow } from "./plan-now.ts";

/** A schedule that is planned and without a problem. */
export type UsableSchedule = LockedSchedule & { readonly resolved: ResolvedPolicy };

/**
 * The schedule with this id or name, locked and up to date: what somebody wrote by SQL a moment ago counts already.
 * @throws NotFound; Conflict where it has a problem
 */
export async function lockUsableSchedule(deps: Deps, tx: Tx, idOrName: string): Promise<UsableSchedule> {
  let schedule = await lockNamedSchedule(tx, idOrName);
  if (schedule.needs_planning) {
    await planNow(deps, tx, schedule.id).catch((error: unknown) => {
      throw error instanceof InvalidInput ? cannotRun(error.message) : error;
    });
    schedule = (await lockSchedule(tx, schedule.id))!;
  }
  if (schedule.resolved === null) throw cannotRun(schedule.problem ?? "it has no plan");
  return schedule as UsableSchedule;
}

function cannotRun(problem: string): Conflict {
  return new Conflict(`the schedule cannot be used: ${problem}`, { state: "problem", problem });
}
