import { countCreated, countEnds } from "../counted.ts";
import type { Tx } from "../database/connection.ts";
import { lockRuns } from "../database/run-states.ts";
import { insertScheduleRun } from "../database/schedule-runs.ts";
import type { RunRow } from "../database/schema.ts";
import { type RunChange, settleRuns } from "../database/settle-runs.ts";
import {
  affectedByEnds,
  type LockedWaiter,
  lockWaiters,
  MOST_WAITING,
  type WaitingFacts,
  waiters,
  waitingFacts,
} from "../database/waiting-runs.ts";
import type { Deps } from "../deps.ts";
import { end } from "../schedule/run-transitions.ts";
import { decideRelease, letGo } from "../schedule/waiting.ts";
import { isPoison } from "./poison.ts";

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
  const ids = [...new Set(ended.map((run) => run.schedule_id))];
  const completed = ended.filter((run) => run.completed).map((run) => run.schedule_id);
  const affected = await affectedByEnds(deps.database, ids, completed);
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
  let left = [...new Set(scheduleIds)].sort();
  while (left.length > 0) {
    const more = await releaseThese(deps, left.slice(0, CHUNK));
    left = [...left.slice(CHUNK), ...more];
  }
}

// One schedule that cannot be dealt with must not hold up the others: halved until it stands alone.
async function releaseThese(deps: Deps, ids: readonly string[]): Promise<readonly string[]> {
  try {
    const done = await deps.database.transaction((tx) => releaseChunk(tx, ids));
    countEnds(deps, done);
    countCreated(deps, done.created);
    if (done.pending) {
      deps.wake("dispatch");
      deps.wake("expand");
    }
    if (done.emitted) deps.wake("relay");
    if (done.cancelling) deps.wake("supervise");
    return done.more;
  } catch (error) {
    if (!isPoison(error)) throw error;
    if (ids.length === 1) {
      deps.logger.error({ err: error, schedule: ids[0] }, "the waiting runs of a schedule cannot be released");
      return [];
    }
    const middle = ids.length >> 1;
    const first = await releaseThese(deps, ids.slice(0, middle));
    return [...first, ...(await releaseThese(deps, ids.slice(middle)))];
  }
}

async function releaseChunk(tx: Tx, ids: readonly string[]) {
  const schedules = await lockWaiters(tx, ids);
  const facts = await waitingFacts(tx, schedules);
  const { changes, cancelling, more } = await decide(tx, schedules, facts);
  const settlement = await settleRuns(tx, changes);
  let pending = settlement.pending;
  let emitted = settlement.emitted;
  const created: RunRow[] = [];
  for (const schedule of schedules) {
    if (!dependenciesCompleted(schedule, facts)) continue;
    const occurrence_at = Math.max(...schedule.depends_on.map((id) => facts.completed.get(id) ?? 0));
    const trigger = { trigger_type: "dependency", triggered_by: schedule.name, occurrence_at } as const;
    const run = await insertScheduleRun(tx, schedule.id, trigger);
    if (run !== null && run !== undefined) created.push(run);
    if (run?.status === "skipped") emitted = true;
    else pending = true;
  }
  const { finished, retried } = settlement;
  return { finished, retried, created, pending, emitted, cancelling, more };
}

// The runs in the way and those that wait are locked together, in the one order of all.
async function decide(tx: Tx, schedules: readonly LockedWaiter[], facts: WaitingFacts) {
  const decisions = schedules.map((schedule) => decideRelease(toWaiting(schedule, facts)));
  const release = new Set(decisions.flatMap((decision) => decision.release));
  const buffer = new Set(decisions.flatMap((decision) => decision.buffer));
  const supersede = new Set(decisions.flatMap((decision) => decision.supersede));
  const current = new Set(
    schedules.flatMap((schedule, index) =>
      decisions[index]!.cancel_current ? (facts.busy.get(schedule.id) ?? []) : [],
    ),
  );
  let cancelling = false;
  const changes: RunChange[] = [];
  for (const before of await lockRuns(tx, [...release, ...buffer, ...supersede, ...current])) {
    const { id, now } = before;
    if (current.has(id)) {
      if (before.completed_at !== null || before.cancel_requested_at !== null) continue;
      const after = { ...before, cancel_requested_at: now, cancel_reason: "superseded" };
      changes.push({ before, after, archived: [] });
      cancelling = true;
    } else if (before.status === "waiting" && before.cancel_requested_at === null) {
      const after = buffer.has(id)
        ? { status_reason: "buffered" }
        : supersede.has(id)
          ? end(before, "cancelled", "superseded", now)
          : letGo(before, now);
      changes.push({ before, after: { ...before, ...after }, archived: [] });
    }
  }
  const full = (schedule: LockedWaiter) => (facts.waiting.get(schedule.id)?.length ?? 0) >= MOST_WAITING;
  const moved = (index: number) => decisions[index]!.release.length + decisions[index]!.supersede.length > 0;
  const more = schedules.filter((schedule, index) => full(schedule) && moved(index)).map((schedule) => schedule.id);
  return { changes, cancelling, more };
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
