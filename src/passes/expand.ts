import { claimParent, expandChunk, type ParentToExpand, stopExpansion } from "../database/expansion.ts";
import { countChildren } from "../database/parents.ts";
import { settleRuns } from "../database/settle-runs.ts";
import type { Deps } from "../deps.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { PassResult } from "../runtime/loop.ts";
import { breakerKey } from "../schedule/breaker.ts";
import { occurrenceRunId } from "../schedule/run-id.ts";
import { release } from "./release.ts";

/** Children inserted by one transaction. */
const CHUNK = 1_000;

export interface ExpandResult extends PassResult {
  readonly expanded: number;
}

/**
 * Gives a parent run its children, one per target, a chunk at a time: resumable wherever it is interrupted, because the
 * children's ids are computed and the chunk commits with the mark of how far it got.
 */
export async function expand(deps: Deps, chunk = CHUNK): Promise<ExpandResult> {
  const done = await deps.database.transaction(async (tx) => {
    const parent = await claimParent(tx, chunk);
    if (parent === undefined) return null;
    if (!parent.cancelling) {
      await expandChunk(tx, parent.id, childrenOf(parent));
      failpoint("expand_uncommitted");
      return { expanded: parent.targets.length, settlement: null };
    }
    await stopExpansion(tx, parent.id);
    // With no child left to end it, the parent ends here.
    const nothing = { completed: 0, failed: 0, cancelled: 0, skipped: 0, progress: 0 };
    const ended = await countChildren(tx, new Map([[parent.id, nothing]]));
    return {
      expanded: 0,
      settlement: await settleRuns(
        tx,
        ended.map((change) => ({ ...change, archived: [] })),
      ),
    };
  });
  if (done === null) return { expanded: 0, full: false, next_in_ms: null };
  failpoint("expand_committed");
  if (done.expanded > 0) deps.wake("dispatch");
  if (done.settlement !== null) await release(deps, done.settlement.ended);
  return { expanded: done.expanded, full: true, next_in_ms: null };
}

function childrenOf(parent: ParentToExpand) {
  return parent.targets.map((target) => ({
    id: occurrenceRunId(parent.id, parent.scheduled_for, target),
    target,
    breaker_key: breakerKey(parent.action, parent.breaker ?? undefined, parent.payload, target),
  }));
}
