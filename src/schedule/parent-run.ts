import type { Instant } from "./instant.ts";
import { cancelReason, type EndStatus, end, hasEnded, type RunState } from "./run-transitions.ts";

/** What a parent knows of its children. */
export interface ChildCounts {
  /** Children it has or will have: the number of targets, unless it was cancelled before all were made. */
  readonly child_total: number;
  readonly child_completed: number;
  readonly child_failed: number;
  readonly child_cancelled: number;
  readonly child_skipped: number;
  /** Sum of the children's progress, percent. */
  readonly child_progress: number;
  readonly target_count: number;
}

/** How the counts of one parent change by a batch of its children. */
export type ChildDelta = Record<EndStatus | "progress", number>;

export const NO_DELTA: ChildDelta = { completed: 0, failed: 0, cancelled: 0, skipped: 0, progress: 0 };

/**
 * Adds up, per parent, what a batch of transitions of children changes. A child that is retried after its end counts
 * back down again. Parents for which nothing changes (heartbeats) are left out, so that nobody waits for their lock.
 */
export function childDeltas(
  changes: readonly { readonly before: RunState; readonly after: RunState }[],
): Map<string, ChildDelta> {
  const deltas = new Map<string, ChildDelta>();
  for (const { before, after } of changes) {
    if (after.parent_run_id === null) continue;
    const progress = (after.progress ?? 0) - (before.progress ?? 0);
    if (progress === 0 && before.status === after.status) continue;
    const delta = deltas.get(after.parent_run_id) ?? { ...NO_DELTA };
    if (hasEnded(before.status)) delta[before.status] -= 1;
    if (hasEnded(after.status)) delta[after.status] += 1;
    delta.progress += progress;
    deltas.set(after.parent_run_id, delta);
  }
  for (const [id, delta] of deltas) {
    if (Object.values(delta).every((value) => value === 0)) deltas.delete(id);
  }
  return deltas;
}

export function addDelta<Parent extends RunState & ChildCounts>(parent: Parent, delta: ChildDelta): Parent {
  const child_progress = parent.child_progress + delta.progress;
  const mean = parent.child_total === 0 ? 0 : child_progress / parent.child_total;
  return {
    ...parent,
    child_completed: parent.child_completed + delta.completed,
    child_failed: parent.child_failed + delta.failed,
    child_cancelled: parent.child_cancelled + delta.cancelled,
    child_skipped: parent.child_skipped + delta.skipped,
    child_progress,
    progress: Math.min(100, Math.max(0, mean)),
  };
}

/**
 * What the counts make of a parent, or null where they change nothing. It ends when all its children have: some failed
 * and some completed is `failed: partial`; with none completed the worst child decides (failed, then cancelled, then
 * skipped). It runs again when an ended child is retried.
 */
export function settleParent<Parent extends RunState & ChildCounts>(parent: Parent, now: Instant): Parent | null {
  const { child_completed, child_failed, child_cancelled, child_skipped, child_total } = parent;
  const open = child_completed + child_failed + child_cancelled + child_skipped < child_total;
  if (hasEnded(parent.status)) return open ? reopened(parent) : null;
  if (open) return null;
  const counts = {
    total: child_total,
    completed: child_completed,
    failed: child_failed,
    cancelled: child_cancelled,
    skipped: child_skipped,
  };
  const [status, reason] = verdict(parent);
  const message = child_failed > 0 ? `${child_failed} of ${child_total} targets failed` : null;
  // The mean of many fractions may miss 100 by a hair.
  const progress = child_completed === child_total && child_total > 0 ? 100 : parent.progress;
  return { ...parent, ...end({ ...parent, result: counts, error_message: message, progress }, status, reason, now) };
}

function reopened<Parent extends RunState>(parent: Parent): Parent {
  return {
    ...parent,
    status: "running",
    status_reason: null,
    error_message: null,
    result: null,
    completed_at: null,
    cancel_requested_at: null,
    cancel_reason: null,
    cancel_sent_at: null,
  };
}

function verdict(parent: RunState & ChildCounts): [EndStatus, string | null] {
  const { child_completed, child_failed, child_cancelled, child_total, target_count } = parent;
  if (child_failed > 0) return ["failed", child_completed > 0 ? "partial" : "error"];
  // Cancelled while targets had no child yet: those that completed are not all that was asked for.
  const cutShort = child_cancelled > 0 || child_total < target_count;
  if (parent.cancel_requested_at !== null && cutShort) return ["cancelled", cancelReason(parent)];
  if (child_completed > 0) return ["completed", null];
  if (child_cancelled > 0) return ["cancelled", cancelReason(parent)];
  return ["skipped", "consumer"];
}
