import { claimParent, expandChunk, nextExpansionIn, type ParentToExpand } from "../database/expansion.ts";
import type { Deps } from "../deps.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { PassResult } from "../runtime/loop.ts";
import { breakerKey } from "../schedule/breaker.ts";
import { occurrenceRunId } from "../schedule/run-id.ts";

/** Children inserted by one transaction. */
const CHUNK = 1_000;
const CONTENDED_MS = 200;

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
    if (parent === undefined) return { expanded: 0, next_in_ms: await nextExpansionIn(tx) };
    await expandChunk(tx, parent.id, childrenOf(parent));
    failpoint("expand_uncommitted");
    return { expanded: parent.targets.length, next_in_ms: null };
  });
  if (done.expanded === 0) {
    // Due, but nothing to claim: another instance has it in hand.
    return {
      ...done,
      full: false,
      next_in_ms: done.next_in_ms === null ? null : Math.max(done.next_in_ms, CONTENDED_MS),
    };
  }
  failpoint("expand_committed");
  deps.wake("dispatch");
  return { ...done, full: true };
}

function childrenOf(parent: ParentToExpand) {
  return parent.targets.map((target) => ({
    id: occurrenceRunId(parent.id, parent.scheduled_for, target),
    target,
    breaker_key: breakerKey(parent.action, parent.breaker ?? undefined, parent.payload, target),
  }));
}
