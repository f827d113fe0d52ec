import type { Tx } from "../database/connection.ts";
import { type LockedRun, lockRuns } from "../database/run-states.ts";
import { insertScheduleRun } from "../database/schedule-runs.ts";
import { settleRuns } from "../database/settle-runs.ts";
import {
  affectedByEnds,
  type LockedWaiter,
  lockWaiters,
  requestCancel,
  type WaitingFacts,
  waiters,
  waitingFacts,
} from "../database/waiting-runs.ts";
import type { Deps } from "../deps.ts";
import { end } from "../schedule/run-transitions.ts";
import { decideRelease, type ReleaseDecision } from "../schedule/waiting.ts";

/** Schedules locked by one transaction. */
const CHUNK = 200;

/**
 * Lets go what waited for runs that have just ended. Called after the commit that ended them, in a transaction of its
 * own, so that it sees waiting runs which fire committed meanwhile; a call that is lost to a crash is made good by
 * supervise, which asks for all waiters at every poll.
 */
export async function release(
  deps: Deps,
  ended: readonly { readonly schedule_id: string; readonly completed: boolean }[],
): Promise<void> {
  if (ended.length === 0) return;
  const ids = ended.map((run) => run.schedule_id);
  const completed = ended.filter((run) => run.completed).map((run) => run.schedule_id);
  const affected = await deps.database.transaction((tx) => affectedByEnds(tx, ids, completed));
  await releaseWaiting(deps, affected);
}

/** Asks for every waiter there is whether its first waiting run may go. */
export async function releaseAll(deps: Deps): Promise<void> {
  let after = "00000000-0000-0000-0000-000000000000";
  for (;;) {
    const ids = await deps.database.transaction((tx) => waiters(tx, after, CHUNK));
    await releaseWaiting(deps, ids);
    if (ids.length < CHUNK) return;
    after = ids.at(-1)!;
  }
}

/** Releases what may go of these schedules' waiting runs, and fires event schedules whose dependencies have completed. */
export async function releaseWaiting(deps: Deps, scheduleIds: readonly string[]): Promise<void> {
  const ids = [...new Set(scheduleIds)].sort();
  for (let from = 0; from < ids.length; from += CHUNK) {
    const done = await deps.database.transaction((tx) => releaseChunk(tx, ids.slice(from, from + CHUNK)));
    if (done.pending) {
      deps.wake("dispatch");
      deps.wake("expand");
    }
    if (done.emitted) deps.wake("relay");
    if (done.cancelling) deps.wake("supervise");
  }
}

async function releaseChunk(tx: Tx, ids: readonly string[]) {
  const schedules = await lockWaiters(tx, ids);
  const facts = await waitingFacts(tx, schedules);
  const decisions = schedules.map((schedule) => decideRelease(toWaiting(schedule, facts)));

  const current = schedules.flatMap((schedule, index) =>
    decisions[index]!.cancel_current ? (facts.busy.get(schedule.id) ?? []) : [],
  );
  const cancelling = await requestCancel(tx, current, "superseded");
  const settlement = await settleRuns(tx, await changes(tx, decisions));
  let fired = 0;
  for (const schedule of schedules) {
    if (dependenciesCompleted(schedule, facts)) {
      const occurrence_at = Math.max(...schedule.depends_on.map((id) => facts.completed.get(id) ?? 0));
      const trigger = { trigger_type: "dependency", triggered_by: schedule.name, occurrence_at } as const;
      await insertScheduleRun(tx, schedule.id, trigger);
      fired += 1;
    }
  }
  return {
    pending: settlement.pending || fired > 0,
    emitted: settlement.emitted,
    cancelling: cancelling.length > 0,
  };
}

async function changes(tx: Tx, decisions: readonly ReleaseDecision[]) {
  const release = new Set(decisions.flatMap((decision) => decision.release));
  const buffer = new Set(decisions.flatMap((decision) => decision.buffer));
  const supersede = new Set(decisions.flatMap((decision) => decision.supersede));
  const locked = await lockRuns(tx, [...release, ...buffer, ...supersede]);
  return locked.map((before) => {
    if (before.status !== "waiting") return { before, after: before, archived: [] };
    if (buffer.has(before.id)) return { before, after: { ...before, status_reason: "buffered" }, archived: [] };
    const ended = supersede.has(before.id) ? end(before, "cancelled", "superseded", before.now) : null;
    return { before, after: ended === null ? go(before) : { ...before, ...ended }, archived: [] };
  });
}

// What waited may be dispatched from now on; its time to start counts from now as well.
function go(run: LockedRun): LockedRun {
  const available_at = Math.max(run.available_at, run.now);
  return {
    ...run,
    status: "pending",
    status_reason: null,
    available_at,
    deadline_at: available_at + run.policy.start_deadline_seconds * 1_000,
  };
}

function toWaiting(schedule: LockedWaiter, facts: WaitingFacts) {
  return {
    overlap: schedule.resolved?.overlap ?? "skip",
    created_at: schedule.created_at,
    busy: facts.busy.has(schedule.id),
    completed_at: schedule.depends_on.map((id) => facts.completed.get(id) ?? null),
    waiting: facts.waiting.get(schedule.id) ?? [],
  };
}

// An event schedule fires once when all its dependencies have completed since it last did. Its row is locked, so that
// dependencies which end at the same moment fire it once.
function dependenciesCompleted(schedule: LockedWaiter, facts: WaitingFacts): boolean {
  const active = schedule.enabled && schedule.problem === null && (schedule.paused_until ?? 0) <= schedule.now;
  if (schedule.kind !== "event" || schedule.depends_on.length === 0 || !active) return false;
  const since = schedule.last_occurrence_at ?? schedule.created_at;
  return schedule.depends_on.every((id) => (facts.completed.get(id) ?? 0) > since);
}
