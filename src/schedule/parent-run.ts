import type { Instant } from "./instant.ts";
import { type EndStatus, end, hasEnded, type RunState } from "./run-transitions.ts";

/** What a parent knows of its children. */
export interface ChildCounts {
  readonly child_total: number;
  readonly child_completed: number;
  readonly child_failed: number;
  readonly child_cancelled: number;
  readonly child_skipped: number;
  /** Sum of the children's progress, percent. */
  readonly child_progress: number;
}

/** How the counts of one parent change by a batch of its children. */
export type ChildDelta = Record<EndStatus | "progress", number>;

/**
 * Adds up, per parent, what a batch of transitions of children changes. A child that is retried after its end counts
 * back down again.
 */
export function childDeltas(
  changes: readonly { readonly before: RunState; readonly after: RunState }[],
): Map<string, ChildDelta> {
  const deltas = new Map<string, ChildDelta>();
  for (const { before, after } of changes) {
    if (after.parent_run_id === null) continue;
    const delta = deltas.get(after.parent_run_id) ?? { completed: 0, failed: 0, cancelled: 0, skipped: 0, progress: 0 };
    if (hasEnded(before.status)) delta[before.status] -= 1;
    if (hasEnded(after.status)) delta[after.status] += 1;
    delta.progress += (after.progress ?? 0) - (before.progress ?? 0);
    deltas.set(after.parent_run_id, delta);
  }
  return deltas;
}

export function addDelta<Parent extends RunState & ChildCounts>(parent: Parent, delta: ChildDelta): Parent {
  const child_progress = parent.child_progress + delta.progress;
  return {
    ...parent,
    child_completed: parent.child_completed + delta.completed,
    child_failed: parent.child_failed + delta.failed,
    child_cancelled: parent.child_cancelled + delta.cancelled,
    child_skipped: parent.child_skipped + delta.skipped,
    child_progress,
    progress: Math.min(100, Math.max(0, child_progress / parent.child_total)),
  };
}

/**
 * Ends a parent whose children have all ended. Some failed and some completed: `failed: partial`. None completed: the
 * worst child decides (failed, then cancelled, then skipped). The counts go into its result.
 */
export function endParent<Parent extends RunState & ChildCounts>(parent: Parent, now: Instant): Parent | null {
  const { child_completed, child_failed, child_cancelled, child_skipped, child_total } = parent;
  if (hasEnded(parent.status)) return null;
  if (child_completed + child_failed + child_cancelled + child_skipped < child_total) return null;
  const counts = {
    total: child_total,
    completed: child_completed,
    failed: child_failed,
    cancelled: child_cancelled,
    skipped: child_skipped,
  };
  const [status, reason] = verdict(parent);
  const message = child_failed > 0 ? `${child_failed} of ${child_total} targets failed` : null;
  return { ...parent, ...end({ ...parent, result: counts, error_message: message }, status, reason, now) };
}

function verdict(parent: RunState & ChildCounts): [EndStatus, string | null] {
  if (parent.child_failed > 0) return ["failed", parent.child_completed > 0 ? "partial" : "error"];
  if (parent.cancel_requested_at !== null && parent.child_cancelled > 0) {
    return ["cancelled", parent.cancel_reason ?? "requested"];
  }
  if (parent.child_completed > 0) return ["completed", null];
  if (parent.child_cancelled > 0) return ["cancelled", parent.cancel_reason ?? "requested"];
  return ["skipped", "consumer"];
}
