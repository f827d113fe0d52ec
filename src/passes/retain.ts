import { BEGINNING, END, enterForgotten, sweepAgenda } from "../database/agenda-upkeep.ts";
import {
  claimRetention,
  deleteOldRuns,
  forgetAudit,
  forgetRequests,
  noteRetention,
  trimSchedules,
} from "../database/retention.ts";
import { forgetChanges } from "../database/run-changes.ts";
import type { Deps } from "../deps.ts";
import type { PassResult } from "../runtime/loop.ts";

export interface Retention {
  /** Ended runs older than this go. */
  readonly days: number;
  /** Audited edits older than this go. */
  readonly audit_days: number;
  /** Of each schedule, so many of the newest runs stay at most. */
  readonly runs_per_schedule: number;
  readonly interval_ms: number;
}

export interface RetainResult extends PassResult {
  readonly deleted: number;
}

/** Before every id: a round has begun and no schedule is done with. */
const FIRST = "00000000-0000-0000-0000-000000000000";
const RUNS = 2_000;
const CHANGES = 5_000;
const SCHEDULES = 200;
const ENTRIES = 1_000;
const RUNS_PER_SCHEDULE = 500;

/**
 * Cleans up history, a bounded piece at a time: runs past their age, runs beyond the newest of each schedule, answered
 * requests, old audited edits, and notes of changes that nobody can ask for any more. One round per interval for all instances
 * together. As it comes by every schedule, it looks whether the agenda has forgotten one, and by every entry there whether anybody
 * is due by it.
 *
 * @param now asks for a round at once, whenever the last one was
 */
export async function retain(deps: Deps, retention: Retention, now = false): Promise<RetainResult> {
  const done = await deps.database.transaction(async (tx) => {
    const state = await claimRetention(tx);
    const due =
      now || state.cursor !== null || state.finished_ago_ms === null || state.finished_ago_ms >= retention.interval_ms;
    const changes = await forgetChanges(tx, CHANGES);
    if (!due || changes === CHANGES) return { deleted: 0, forgotten: 0, finished: changes < CHANGES };
    const old = await deleteOldRuns(tx, retention.days, RUNS);
    const requests = await forgetRequests(tx, RUNS);
    const audit = await forgetAudit(tx, retention.audit_days, RUNS);
    if (old === RUNS || requests === RUNS || audit === RUNS) return { deleted: old, forgotten: 0, finished: false };
    const trimmed = await trimSchedules(tx, state.cursor, retention.runs_per_schedule, SCHEDULES, RUNS_PER_SCHEDULE);
    const forgotten = await enterForgotten(tx, state.cursor, SCHEDULES);
    const swept = await sweepAgenda(tx, state.swept ?? BEGINNING, ENTRIES);
    const again = trimmed.surplus > 0;
    const finished = trimmed.schedules < SCHEDULES && !again && swept.at === END.at;
    const cursor = (again ? null : trimmed.last) ?? state.cursor ?? FIRST;
    await noteRetention(tx, finished ? null : cursor, finished ? null : swept);
    return { deleted: old + trimmed.deleted, forgotten, finished };
  });
  if (done.deleted > 0) deps.logger.info({ deleted: done.deleted }, "history was cleaned up");
  if (done.forgotten > 0) {
    deps.logger.warn({ schedules: done.forgotten }, "schedules should have fired minutes ago, and are looked at now");
    deps.wake("fire");
  }
  return { deleted: done.deleted, full: !done.finished, next_in_ms: null };
}
