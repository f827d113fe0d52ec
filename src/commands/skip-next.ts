import { countCreated } from "../counted.ts";
import type { Tx } from "../database/connection.ts";
import { insertRuns } from "../database/new-runs.ts";
import { tellSkipped } from "../database/run-events.ts";
import { viewRun } from "../database/run-queries.ts";
import { viewSchedule } from "../database/schedule-queries.ts";
import { advancePast } from "../database/schedule-writes.ts";
import type { RunRow } from "../database/schema.ts";
import type { Deps } from "../deps.ts";
import { Conflict } from "../schedule/errors.ts";
import { toPostgres } from "../schedule/instant.ts";
import { nextOccurrence } from "../schedule/recurrence.ts";
import { occurrenceRunId } from "../schedule/run-id.ts";
import { compileRecurrence } from "../schedule/timing.ts";
import { checkRevision } from "./find-schedule.ts";
import { lockUsableSchedule, type UsableSchedule } from "./usable-schedule.ts";

/**
 * Skips the next occurrence of a schedule and leaves a row that says so. An occurrence that is due already and has not
 * been fired yet is the next one.
 * @returns the skipped run
 * @throws NotFound, StaleRevision; Conflict where nothing is going to be due
 */
export async function skipNext(deps: Deps, idOrName: string, revision: number | null, actor: string): Promise<RunRow> {
  const run = await deps.database.transaction(
    async (tx) => {
      const schedule = await lockUsableSchedule(deps, tx, idOrName);
      checkRevision(schedule, revision);
      return skip(tx, schedule, actor);
    },
    { actor },
  );
  countCreated(deps, [run]);
  deps.wake("fire");
  deps.wake("relay");
  return run;
}

async function skip(tx: Tx, schedule: UsableSchedule, actor: string): Promise<RunRow> {
  const due = schedule.next_run_at;
  if (due === null) {
    const { state } = (await viewSchedule(tx, schedule.id))!;
    throw new Conflict(`nothing is going to be due: the schedule is ${state}`, { state });
  }
  const id = occurrenceRunId(schedule.id, due);
  const inserted = await insertRuns(tx, [
    {
      id,
      schedule_id: schedule.id,
      schedule_name: schedule.name,
      action: schedule.action,
      action_version: schedule.action_version,
      payload: schedule.payload,
      payload_text: schedule.payload_text,
      targets: schedule.targets,
      trigger_type: "scheduled",
      triggered_by: actor,
      scheduled_for: due,
      policy: schedule.resolved,
      exclusive: false,
      status: "skipped",
      status_reason: "requested",
      breaker_key: null,
      traceparent: null,
    },
  ]);
  await tellSkipped(
    tx,
    inserted.map((run) => run.id),
  );
  const next = nextOccurrence(compileRecurrence(schedule), Math.max(due, schedule.plan_from ?? due));
  await advancePast(tx, schedule.id, next === null ? null : toPostgres(next), toPostgres(due));
  // It may have been there before: a next_run_at that somebody set back by hand.
  return (await viewRun(tx, id))!;
}
