import type { Tx } from "../database/connection.ts";
import { type ScheduleView, viewSchedule } from "../database/schedule-queries.ts";
import { resumeSchedule as writeResume } from "../database/schedule-writes.ts";
import { databaseNow } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { checkRevision, lockNamedSchedule } from "./find-schedule.ts";
import { planNow } from "./plan-now.ts";

/**
 * Ends a pause. What would have been due meanwhile is left alone, or with `catch_up` treated as after an outage. A
 * schedule that is not paused stays as it is.
 * @throws NotFound, StaleRevision
 */
export async function resumeSchedule(
  deps: Deps,
  idOrName: string,
  input: { readonly catch_up: boolean },
  revision: number | null,
  actor: string,
): Promise<ScheduleView> {
  const schedule = await deps.database.transaction((tx) => resume(deps, tx, idOrName, input.catch_up, revision), {
    actor,
  });
  deps.wake("fire");
  return schedule;
}

/** Resumes inside a command's transaction. */
export async function resume(
  deps: Deps,
  tx: Tx,
  idOrName: string,
  catchUp: boolean,
  revision: number | null,
): Promise<ScheduleView> {
  const locked = await lockNamedSchedule(tx, idOrName);
  checkRevision(locked, revision);
  if (locked.paused_until !== null && locked.paused_until > (await databaseNow(tx))) {
    await writeResume(tx, locked.id, catchUp);
    await planNow(deps, tx, locked.id);
  }
  return (await viewSchedule(tx, locked.id))!;
}
