import { addDelta, type ChildCounts, type ChildDelta, settleParent } from "../schedule/parent-run.ts";
import type { Statement, Tx } from "./connection.ts";
import { type LockedRun, lockRuns } from "./run-states.ts";

const COUNTS: Statement = {
  name: "child_counts",
  text: `
    SELECT id, child_total, cardinality(targets) AS target_count, coalesce(child_completed, 0) AS child_completed, coalesce(child_failed, 0) AS child_failed,
      coalesce(child_cancelled, 0) AS child_cancelled, coalesce(child_skipped, 0) AS child_skipped,
      coalesce(child_progress, 0) AS child_progress
    FROM runs WHERE id = ANY($1::uuid[])`,
};
const WRITE_COUNTS: Statement = {
  name: "write_child_counts",
  text: `
    UPDATE runs r SET child_completed = u.child_completed, child_failed = u.child_failed,
      child_cancelled = u.child_cancelled, child_skipped = u.child_skipped, child_progress = u.child_progress,
      progress = u.progress
    FROM jsonb_to_recordset($1::jsonb) AS u (id uuid, child_completed int, child_failed int, child_cancelled int,
      child_skipped int, child_progress double precision, progress real)
    WHERE r.id = u.id`,
};

export interface ParentChange {
  readonly before: LockedRun;
  readonly after: LockedRun;
}

/**
 * Moves the counters of the parents of a batch, one update per parent, and answers those that end by it, or run again
 * because an ended child does. Parents are locked after their children, in id order, as everywhere.
 */
export async function countChildren(tx: Tx, deltas: ReadonlyMap<string, ChildDelta>): Promise<ParentChange[]> {
  if (deltas.size === 0) return [];
  const locked = await lockRuns(tx, [...deltas.keys()]);
  const counts = await tx.query<ChildCounts & { id: string }>(COUNTS, [locked.map((parent) => parent.id)]);
  const byId = new Map(counts.map((row) => [row.id, row]));
  const moved = locked.map((before) => {
    const parent = { ...before, ...byId.get(before.id)! };
    return { before, after: addDelta(parent, deltas.get(before.id)!) };
  });
  await tx.query(WRITE_COUNTS, [JSON.stringify(moved.map(({ after }) => pick(after)))]);
  return moved.flatMap(({ before, after }) => {
    const settled = settleParent(after, before.now);
    return settled === null ? [] : [{ before, after: settled }];
  });
}

function pick(parent: ChildCounts & { id: string; progress: number | null }) {
  const { id, child_completed, child_failed, child_cancelled, child_skipped, child_progress, progress } = parent;
  return { id, child_completed, child_failed, child_cancelled, child_skipped, child_progress, progress };
}
