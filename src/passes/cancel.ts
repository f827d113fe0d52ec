import type { OutboxMessage } from "../database/outbox.ts";
import { type LockedRun, lockRuns } from "../database/run-states.ts";
import { type RunChange, settleRuns } from "../database/settle-runs.ts";
import { requestCancelOfChildren, runsToCancel } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { end } from "../schedule/run-transitions.ts";
import { CANCEL_GRACE_MS } from "../schedule/supervision.ts";
import { cancelRequested } from "./events.ts";
import { release } from "./release.ts";

const BATCH = 500;

/**
 * Acts on the flag that asks for a run to be cancelled, whoever set it (HTTP, AMQP, SQL, a newer run): what no consumer
 * has seen ends at once; a consumer is asked to stop and gets a grace period; a parent passes it on to its children.
 */
export async function cancelFlagged(deps: Deps, batch = BATCH): Promise<number> {
  const { settlement, looked } = await deps.database.transaction(async (tx) => {
    const ids = await runsToCancel(tx, batch);
    const locked = await lockRuns(tx, ids);
    const parents = locked.filter((run) => run.child_total !== null && run.status === "running");
    for (const parent of parents) await requestCancelOfChildren(tx, [parent.id], parent.cancel_reason ?? "requested");
    const decided = locked.map(decide);
    const messages = decided.flatMap(({ message }) => message ?? []);
    return {
      settlement: await settleRuns(
        tx,
        decided.map(({ change }) => change),
        messages,
      ),
      looked: ids.length,
    };
  });
  if (settlement.emitted) deps.wake("relay");
  await release(deps, settlement.ended);
  return looked;
}

function decide(before: LockedRun): { change: RunChange; message: OutboxMessage | null } {
  const { now } = before;
  if (before.status === "waiting" || before.status === "pending") {
    const after = { ...before, ...end(before, "cancelled", before.cancel_reason ?? "requested", now) };
    return { change: { before, after, archived: [] }, message: null };
  }
  const asked = { ...before, cancel_sent_at: now };
  if (before.child_total !== null) return { change: { before, after: asked, archived: [] }, message: null };
  return {
    change: { before, after: { ...asked, deadline_at: now + CANCEL_GRACE_MS }, archived: [] },
    message: cancelRequested(before, before.cancel_reason ?? "requested"),
  };
}
