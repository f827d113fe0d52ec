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
 * Fires what is due: what was decided ahead by one statement, whatever else is due by claiming and deciding it. With
 * nothing due, looks ahead.
 */
export async function fireOnTime(deps: Deps, agenda: Agenda, limit = BATCH): Promise<FireResult> {
  const lease = { id: randomUUID(), instance: deps.instance };
  const { now, next_in_ms, batch, fired } = await takeAndFire(deps, agenda, limit, lease);
  if (batch.length > 0) {
    const runs = fired === null ? [] : follow(deps, agenda, batch, fired);
    const published = runs.length === 0 ? Promise.resolve() : publishLease(deps, { id: lease.id, now, runs });
    return { fired: runs.length, skipped: 0, published, full: true, next_in_ms: null };
  }
  if (next_in_ms !== null && next_in_ms <= 0) {
    const result = await fire(deps, limit);
    return { ...result, next_in_ms: agenda.wakeIn(result.next_in_ms) };
  }
  const full = await lookAhead(deps, agenda, now);
  return { fired: 0, skipped: 0, published: Promise.resolve(), full, next_in_ms: agenda.wakeIn(next_in_ms) };
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
