import { Conflict, NotFound } from "../schedule/errors.ts";
import { NO_DELTA } from "../schedule/parent-run.ts";
import { hasEnded, nextAttempt, type RunState } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";
import { unfinishedSchedules } from "./due-schedules.ts";
import { restoreTargets } from "./expansion.ts";
import { countChildren } from "./parents.ts";
import { archiveAttempts, type LockedRun, lockRuns } from "./run-states.ts";
import { lockSchedule } from "./schedule-runs.ts";
import { type RunChange, type Settlement, settleRuns } from "./settle-runs.ts";

const FIND: Statement = {
  name: "find_run_to_revive",
  text: "SELECT schedule_id, child_expanded FROM runs WHERE id = $1",
};
const CHILDREN: Statement = {
  name: "ended_children",
  text: `
    SELECT id FROM runs WHERE parent_run_id = $1 AND completed_at IS NOT NULL AND ($2::text[] IS NULL OR status = ANY($2))
    ORDER BY id`,
};
const PARENT_STATUS: Statement = { name: "parent_status", text: "SELECT status FROM runs WHERE id = $1" };

export interface Revival {
  readonly run: LockedRun;
  /** As after any settled change: the caller wakes dispatch, expand, relay, and supervise for a run that waits. */
  readonly settlement: Settlement;
}

/**
 * Starts an ended run anew as its next attempt, whatever attempts it has left; a completed one only with `force`. Overlap
 * is obeyed: where another run of the schedule holds its place, the run waits for it, or there is a Conflict. A child
 * counts back down in its parent, which runs again. Of a parent, the children that decided its end start anew: the
 * failed ones, else the cancelled ones (and those never made), else the skipped ones; with `force` all of them.
 *
 * @throws NotFound, Conflict (with the state that is in the way)
 */
export async function reviveRun(tx: Tx, runId: string, options: { readonly force?: boolean } = {}): Promise<Revival> {
  const force = options.force ?? false;
  const [found] = await tx.query<{ schedule_id: string | null; child_expanded: number | null }>(FIND, [runId]);
  if (found === undefined) throw new NotFound(`there is no run ${runId}`);
  if (found.schedule_id !== null) await lockSchedule(tx, found.schedule_id);
  return (found.child_expanded ?? 0) > 0 ? reviveParent(tx, runId, force) : reviveOne(tx, runId, force);
}

async function reviveOne(tx: Tx, runId: string, force: boolean): Promise<Revival> {
  const before = await lockEnded(tx, runId, force);
  const waits = await mustWait(tx, before.parent_run_id === null ? before : await lockParent(tx, before.parent_run_id));
  if (before.child_total !== null) await restoreTargets(tx, runId);
  const next = nextAttempt(before, before.now);
  const after = waits ? { ...next, status: "waiting" as const, status_reason: "buffered" } : next;
  const run = { ...before, ...after };
  await archiveAttempts(tx, [before]);
  return { run, settlement: await settleRuns(tx, [{ before, after: run, archived: [] }]) };
}

async function reviveParent(tx: Tx, runId: string, force: boolean): Promise<Revival> {
  const [look] = await tx.query<{ status: string }>(PARENT_STATUS, [runId]);
  const wanted = force ? null : [look?.status];
  const ids = await tx.query<{ id: string }>(CHILDREN, [runId, wanted]);
  const children = await lockRuns(
    tx,
    ids.map(({ id }) => id),
  );
  const parent = await lockEnded(tx, runId, force);
  if (parent.status !== look?.status) throw new Conflict("the run is changing right now; ask again", stateOf(parent));
  await mustWait(tx, parent);
  if (parent.status === "cancelled" || force) await restoreTargets(tx, runId);
  const changes: RunChange[] = children.map((before) => {
    const after = { ...before, ...nextAttempt(before, before.now) };
    return { before, after, archived: [] };
  });
  await archiveAttempts(tx, children);
  if (changes.length > 0) return { run: parent, settlement: await settleRuns(tx, changes) };
  // Cancelled before every target had its child, and all that were made have completed: only the rest is to be made.
  const reopened = await countChildren(tx, new Map([[runId, NO_DELTA]]));
  if (reopened.length === 0) throw new Conflict("the run has no child to start anew", stateOf(parent));
  return {
    run: parent,
    settlement: await settleRuns(
      tx,
      reopened.map((change) => ({ ...change, archived: [] })),
    ),
  };
}

async function lockEnded(tx: Tx, runId: string, force: boolean): Promise<LockedRun> {
  const [run] = await lockRuns(tx, [runId]);
  if (run === undefined) throw new NotFound(`there is no run ${runId}`);
  if (!hasEnded(run.status)) throw new Conflict(`the run has not ended: it is ${run.status}`, stateOf(run));
  if (run.status === "completed" && !force) {
    throw new Conflict("the run has completed; say force to start it all the same", stateOf(run));
  }
  return run;
}

async function lockParent(tx: Tx, parentId: string): Promise<LockedRun | null> {
  const [parent] = await lockRuns(tx, [parentId]);
  if (parent !== undefined && parent.cancel_requested_at !== null && !hasEnded(parent.status)) {
    throw new Conflict("its parent is being cancelled", stateOf(parent));
  }
  return parent ?? null;
}

/**
 * Whether the place that this run takes is held by another. A parent cannot wait: its children would have to as well.
 */
async function mustWait(tx: Tx, run: LockedRun | null): Promise<boolean> {
  if (run === null || !hasEnded(run.status) || !run.exclusive || run.schedule_id === null) return false;
  const unfinished = (await unfinishedSchedules(tx, [run.schedule_id])).get(run.schedule_id);
  if (unfinished === undefined) return false;
  const { overlap } = run.policy;
  const full = overlap === "skip" || (overlap === "buffer_one" && unfinished.waiting);
  if (full || run.child_total !== null) {
    throw new Conflict("another run of its schedule has not ended", stateOf(run));
  }
  return true;
}

function stateOf({ status, status_reason, attempt }: RunState) {
  return { status, status_reason, attempt };
}
