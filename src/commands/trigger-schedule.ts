import { countCreated } from "../counted.ts";
import type { Tx } from "../database/connection.ts";
import type { RequestKey } from "../database/requests.ts";
import { insertScheduleRun, type ScheduleTrigger } from "../database/schedule-runs.ts";
import type { RunRow, ScheduleRow } from "../database/schema.ts";
import type { Deps } from "../deps.ts";
import { InvalidInput } from "../schedule/errors.ts";
import type { Priority } from "../schedule/policy.ts";
import { once, type Triggered } from "./once.ts";
import { lockUsableSchedule } from "./usable-schedule.ts";

export interface TriggerInput {
  /** undefined: the schedule's own. */
  readonly payload?: unknown;
  readonly priority?: Priority | null | undefined;
  readonly traceparent?: string | null | undefined;
}

/**
 * Runs a schedule now, whatever its timing says: `next_run_at` does not move, a pause does not matter, overlap is obeyed.
 * @param key asking again under it gives the same run
 * @throws NotFound; InvalidInput on `payload`; Conflict where the schedule has a problem
 */
export async function triggerSchedule(
  deps: Deps,
  idOrName: string,
  input: TriggerInput,
  key: RequestKey | null,
  actor: string,
): Promise<Triggered> {
  const { payload, priority = null, traceparent = null } = input;
  const request: ScheduleTrigger = { trigger_type: "manual", triggered_by: actor, payload, priority, traceparent };
  const asked = { schedule_name: idOrName, request: { trigger: idOrName, payload, priority } };
  const triggered = await deps.database.transaction(
    (tx) => once(tx, key, asked, actor, () => trigger(deps, tx, idOrName, request)),
    { actor },
  );
  if (!triggered.repeated) followRun(deps, triggered.run);
  return triggered;
}

/** Inserts a run of a schedule, inside a command's transaction. */
export async function trigger(deps: Deps, tx: Tx, idOrName: string, request: ScheduleTrigger): Promise<RunRow> {
  const schedule = await lockUsableSchedule(deps, tx, idOrName);
  checkPayload(deps, schedule, request.payload);
  // Null is for a computed id that exists already, and for a schedule that is gone or has no plan.
  return (await insertScheduleRun(tx, schedule.id, request))!;
}

function checkPayload(deps: Deps, schedule: ScheduleRow, payload: unknown): void {
  if (payload === undefined) return;
  const errors = deps.actions().find(schedule.action, schedule.action_version)?.validatePayload(payload) ?? [];
  if (errors.length > 0) throw new InvalidInput(errors);
}

/** Wakes whoever has to do something about a new run. After the commit. */
export function followRun(deps: Deps, run: RunRow): void {
  countCreated(deps, [run]);
  if (run.status === "pending") deps.wake(run.child_total === null ? "dispatch" : "expand");
  // It waits for another run, which may have ended meanwhile, or is to be cancelled in its favour.
  if (run.status === "waiting") deps.wake("supervise");
  // Skipped, which may have to be told.
  if (run.status === "skipped") deps.wake("relay");
}
