import type { Tx } from "../database/connection.ts";
import { emit } from "../database/outbox.ts";
import { type ScheduleView, viewSchedule } from "../database/schedule-queries.ts";
import { pauseSchedule as writePause } from "../database/schedule-writes.ts";
import { databaseNow } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { InvalidInput } from "../schedule/errors.ts";
import { type Instant, toIso, toPostgres } from "../schedule/instant.ts";
import { checkRevision, lockNamedSchedule } from "./find-schedule.ts";
import { planNow } from "./plan-now.ts";

export interface PauseInput {
  /** null: until somebody resumes it. */
  readonly until: Instant | null;
  readonly note: string | null;
}

/**
 * Stops a schedule from being due until an instant, or until further notice; what runs goes on, and it can still be run by
 * hand. Pausing a paused schedule changes the end and the note of its pause.
 * @throws NotFound, StaleRevision, InvalidInput on `until`
 */
export async function pauseSchedule(
  deps: Deps,
  idOrName: string,
  input: PauseInput,
  revision: number | null,
  actor: string,
): Promise<ScheduleView> {
  const schedule = await deps.database.transaction((tx) => pause(deps, tx, idOrName, input, revision), { actor });
  deps.wake("relay");
  return schedule;
}

/** Pauses inside a command's transaction. */
export async function pause(
  deps: Deps,
  tx: Tx,
  idOrName: string,
  { until, note }: PauseInput,
  revision: number | null,
): Promise<ScheduleView> {
  if (until !== null && until <= (await databaseNow(tx))) {
    throw new InvalidInput([{ field: "until", message: "must lie in the future" }]);
  }
  const schedule = await lockNamedSchedule(tx, idOrName);
  checkRevision(schedule, revision);
  await writePause(tx, schedule.id, toPostgres(until ?? Number.POSITIVE_INFINITY), note);
  await planNow(deps, tx, schedule.id);
  const told = {
    schedule_id: schedule.id,
    schedule_name: schedule.name,
    reason: "requested",
    paused_until: until === null ? null : toIso(until),
    note,
    consecutive_failures: schedule.consecutive_failures,
  };
  await emit(tx, [{ exchange: "events", type: "schedule.paused.v1", subject: `schedules/${schedule.id}`, data: told }]);
  return (await viewSchedule(tx, schedule.id))!;
}
