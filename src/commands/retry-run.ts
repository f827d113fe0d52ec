import { reviveRun } from "../database/revive-run.ts";
import { viewRun } from "../database/run-queries.ts";
import type { RunRow } from "../database/schema.ts";
import type { Deps } from "../deps.ts";

/**
 * Starts an ended run anew as its next attempt; a completed one only with `force`. Of a parent, the children that decided
 * its end.
 * @throws NotFound; Conflict with the state that is in the way
 */
export async function retryRun(
  deps: Deps,
  id: string,
  options: { readonly force: boolean },
  actor: string,
): Promise<RunRow> {
  const run = await deps.database.transaction(
    async (tx) => {
      await reviveRun(tx, id, options);
      return (await viewRun(tx, id))!;
    },
    { actor },
  );
  for (const pass of ["dispatch", "expand", "relay", "supervise"] as const) deps.wake(pass);
  return run;
}
