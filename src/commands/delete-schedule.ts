import { deleteSchedule as deleteRow, dependentsOf, lockDependencies } from "../database/schedule-writes.ts";
import type { Deps } from "../deps.ts";
import { Conflict } from "../schedule/errors.ts";
import { checkRevision, lockNamedSchedule } from "./find-schedule.ts";

/**
 * Deletes a schedule. What it had not started is cancelled, what is in flight goes on, its history stays.
 * @throws NotFound, StaleRevision; Conflict while other schedules depend on it
 */
export async function deleteSchedule(
  deps: Deps,
  idOrName: string,
  revision: number | null,
  actor: string,
): Promise<void> {
  await deps.database.transaction(
    async (tx) => {
      await lockDependencies(tx);
      const schedule = await lockNamedSchedule(tx, idOrName);
      checkRevision(schedule, revision);
      const dependents = await dependentsOf(tx, schedule.id);
      if (dependents.length > 0) {
        const names = dependents.map((name) => JSON.stringify(name)).join(", ");
        throw new Conflict(`other schedules depend on it: ${names}`, { dependents });
      }
      await deleteRow(tx, schedule.id);
    },
    { actor },
  );
  deps.wake("supervise");
}
