import { randomUUID } from "node:crypto";
import { countFired } from "../counted.ts";
import { isDataError } from "../database/connection.ts";
import { type ForeseenFired, fireForeseen, firingState } from "../database/foreseen-schedules.ts";
import type { Deps } from "../deps.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { Instant } from "../schedule/instant.ts";
import type { Agenda, Foreseen } from "./agenda.ts";
import { BATCH, type FireResult, fire } from "./fire.ts";
import { toPublishable } from "./fire-batch.ts";
import { lookAhead } from "./look-ahead.ts";
import { publishLease } from "./publish-lease.ts";

/**
 * What falls due within so many ms after a batch is fired with the next one. Where a schedule is due every few ms, a pass for
 * each would cost ten round trips a run.
 */
const GATHER_MS = 10;

/**
 * Fires what is due: what was decided ahead by one statement, whatever else is due by claiming and deciding it. Then looks
 * ahead, unless there is more to fire at once: also where something is due at any time, or that would always be claimed.
 */
export async function fireOnTime(deps: Deps, agenda: Agenda, limit = BATCH): Promise<FireResult> {
  const lease = { id: randomUUID(), instance: deps.instance };
  const attempt = await takeAndFire(deps, agenda, limit, lease);
  const { now, next_in_ms, batch, fired } = attempt;
  const runs = fired === null ? [] : follow(deps, agenda, batch, fired);
  const published = runs.length === 0 ? null : publishLease(deps, { id: lease.id, now, runs });
  const claimed = someMissed(attempt) ? await fire(deps, limit) : null;
  const more = batch.length < limit && (await lookAhead(deps, agenda, now, claimed !== null));
  const count = runs.length + (claimed?.fired ?? 0);
  const wake_in_ms = agenda.wakeIn(claimed === null ? next_in_ms : claimed.next_in_ms);
  return {
    fired: count,
    skipped: claimed?.skipped ?? 0,
    published: Promise.all([published, claimed?.published]).then(() => {}),
    full: batch.length === limit || more || (claimed?.full ?? false),
    next_in_ms: count > 0 && wake_in_ms !== null ? Math.max(wake_in_ms, GATHER_MS) : wake_in_ms,
  };
}

/** Whether something is due that was not foreseen, or came otherwise than it had been. */
function someMissed({ now, next_in_ms, batch, fired }: Attempt): boolean {
  if (next_in_ms === null || next_in_ms > 0) return false;
  const [first] = batch;
  // Instants have whole milliseconds, the rest of `now` is in `next_in_ms`.
  return first === undefined || fired === null || Math.ceil(now + next_in_ms) < first.schedule.next_run_at;
}

interface Attempt {
  readonly now: Instant;
  readonly next_in_ms: number | null;
  readonly batch: readonly Foreseen[];
  /** null: something raced, or a row is damaged. All of the batch is left to be claimed. */
  readonly fired: ForeseenFired | null;
}

async function takeAndFire(
  deps: Deps,
  agenda: Agenda,
  limit: number,
  lease: { readonly id: string; readonly instance: string },
): Promise<Attempt> {
  let attempt: Attempt | null = null;
  try {
    return await deps.database.transaction(async (tx) => {
      const state = await firingState(tx);
      // Taken off in any case: without a broker they are claimed, and left here they would pile up while it is away.
      const due = agenda.takeDue(state.now, limit);
      const batch = deps.publisher.ready ? due : [];
      attempt = { ...state, batch, fired: null };
      if (batch.length === 0) return attempt;
      const fired = await fireForeseen(
        tx,
        lease,
        batch.map(({ firing }) => firing),
      );
      failpoint("fire_uncommitted");
      return { ...attempt, fired };
    });
  } catch (error) {
    if (attempt !== null && isDataError(error)) return attempt;
    throw error;
  }
}

const DISPATCHED = { status: "dispatched", status_reason: null };

/** Counts what was fired, and foresees its next occurrence: this is the one who knows the row's new version. */
function follow(deps: Deps, agenda: Agenda, batch: readonly Foreseen[], { now, version, run_ids }: ForeseenFired) {
  const exist = run_ids === null ? null : new Set(run_ids);
  const done = exist === null ? batch : batch.filter(({ occurrence }) => exist.has(occurrence.run_id));
  countFired(
    deps,
    done.map(({ schedule, occurrence }) => ({ schedule, occurrence, row: DISPATCHED })),
    now,
  );
  for (const { schedule, next_run_at, turn } of done) {
    if (next_run_at === null) continue;
    agenda.add({ ...schedule, next_run_at, version, run_count: schedule.run_count + 1 }, turn);
  }
  return done.map(({ schedule, occurrence, traceparent }) => toPublishable(schedule, occurrence, now, traceparent));
}
