import { unfinishedRuns, viewRun } from "../database/run-queries.ts";
import type { RunRow } from "../database/schema.ts";
import { requestCancel } from "../database/waiting-runs.ts";
import type { Deps } from "../deps.ts";
import { Conflict, NotFound } from "../schedule/errors.ts";
import { hasEnded } from "../schedule/run-transitions.ts";
import { scheduleId } from "./find-schedule.ts";

const REQUESTED = "requested";

/**
 * Asks for a run to be cancelled. What no consumer has seen ends within milliseconds; a consumer is told to stop and has a
 * grace period. Asking again changes nothing.
 * @param reason in the caller's own words
 * @throws NotFound; Conflict where the run has ended
 */
export async function cancelRun(deps: Deps, id: string, reason: string | null, actor: string): Promise<RunRow> {
  const run = await deps.database.transaction(
    async (tx) => {
      await requestCancel(tx, [id], reason ?? REQUESTED);
      const found = await viewRun(tx, id);
      if (found === undefined) throw new NotFound(`there is no run ${id}`);
      if (hasEnded(found.status))
        throw new Conflict(`the run is ${found.status} already`, {
          status: found.status,
          status_reason: found.status_reason,
        });
      return found;
    },
    { actor },
  );
  deps.wake("supervise");
  return run;
}

/**
 * Asks for every unfinished run of a schedule to be cancelled.
 * @returns how many were asked for now
 * @throws NotFound
 */
export async function cancelScheduleRuns(
  deps: Deps,
  idOrName: string,
  actor: string,
): Promise<{ readonly cancelling: number }> {
  const flagged = await deps.database.transaction(
    async (tx) => {
      const open = await unfinishedRuns(tx, await scheduleId(tx, idOrName));
      return requestCancel(tx, open, REQUESTED);
    },
    { actor },
  );
  if (flagged.length > 0) deps.wake("supervise");
  return { cancelling: flagged.length };
}
