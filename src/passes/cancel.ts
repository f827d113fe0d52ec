import type { Tx } from "../database/connection.ts";
import { stopExpansion } from "../database/expansion.ts";
import { countChildren } from "../database/parents.ts";
import { type LockedRun, lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { type RunChange, type Settlement, settleRuns } from "../database/settle-runs.ts";
import { requestCancelOfChildren, runsToCancel } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { NO_DELTA } from "../schedule/parent-run.ts";
import { hasEnded } from "../schedule/run-transitions.ts";
import { cancelFlagged } from "../schedule/supervision.ts";
import { cancelRequested } from "./events.ts";
import { follow } from "./follow.ts";

const BATCH = 500;

/**
 * Acts on the flag that asks for a run to be cancelled, whoever set it (HTTP, AMQP, SQL, a newer run): what no consumer
 * has seen ends at once; a consumer is asked to stop and gets a grace period; a parent passes it on to its children.
 * Parents first and on their own: their children are flagged before they are locked.
 */
export async function actOnCancels(deps: Deps, batch = BATCH): Promise<number> {
  const { parents, others } = await deps.database.transaction((tx) => runsToCancel(tx, batch));
  if (parents.length > 0) await follow(deps, await deps.database.transaction((tx) => cancelParents(tx, parents)));
  if (others.length > 0) await follow(deps, await deps.database.transaction((tx) => cancelRuns(tx, others)));
  return parents.length + others.length;
}

async function cancelRuns(tx: Tx, ids: readonly string[]): Promise<Settlement> {
  // The last child of a parent may make it fail, which counts.
  await lockSchedulesOfOutcomes(
    tx,
    ids.map((run_id) => ({ run_id, failed: false })),
  );
  const decided = (await lockRuns(tx, ids)).map(decide);
  const asked = decided.filter(({ tell_consumer }) => tell_consumer);
  return settleRuns(
    tx,
    decided.map(({ change }) => change),
    asked.map(({ change }) => cancelRequested(change.after, change.after.cancel_reason ?? "requested")),
  );
}

async function cancelParents(tx: Tx, ids: readonly string[]): Promise<Settlement> {
  await lockSchedulesOfOutcomes(
    tx,
    ids.map((run_id) => ({ run_id, failed: true })),
  );
  await requestCancelOfChildren(tx, ids);
  const locked = await lockRuns(tx, ids);
  const decided = locked.map(decide);
  const running = decided.filter(({ change }) => change.before.status === "running");
  await stopExpansion(
    tx,
    running.map(({ change }) => change.before.id),
  );
  // With all its children ended already, nothing else would end it.
  const ended = await countChildren(tx, new Map(running.map(({ change }) => [change.before.id, NO_DELTA])));
  const byId = new Map(ended.map((parent) => [parent.after.id, parent.after]));
  return settleRuns(
    tx,
    decided.map(({ change }) => ({ ...change, after: byId.get(change.after.id) ?? change.after })),
  );
}

function decide(before: LockedRun): { change: RunChange; tell_consumer: boolean } {
  if (hasEnded(before.status)) return { change: { before, after: before, archived: [] }, tell_consumer: false };
  const { run, tell_consumer } = cancelFlagged(before, before.child_total !== null, before.now);
  return { change: { before, after: { ...before, ...run }, archived: [] }, tell_consumer };
}
