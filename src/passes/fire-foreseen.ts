import { setImmediate } from "node:timers/promises";
import { countFired } from "../counted.ts";
import { newEntries } from "../database/agenda-entries.ts";
import { isDataError } from "../database/connection.ts";
import { type ForeseenFired, fireForeseen, firingState } from "../database/foreseen-schedules.ts";
import { newLease } from "../database/leases.ts";
import type { Deps } from "../deps.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { Instant } from "../schedule/instant.ts";
import { BATCH, type FireResult, fire } from "./fire.ts";
import { toPublication } from "./fire-batch.ts";
import { lookAhead } from "./look-ahead.ts";
import type { Due, Foreseen, Outlook } from "./outlook.ts";
import { publishLease } from "./publish-lease.ts";

/**
 * What falls due within so many ms after a batch is fired with the next one. Where a schedule is due every few ms, a pass for
 * each would cost half a dozen round trips a run.
 */
const GATHER_MS = 10;
/** Ample time to read a thousand schedules, ms. */
const LEISURE_MS = 100;

/**
 * Batches that Postgres writes side by side. In a burst all processors are busy, and a session gets one process's share of them:
 * the broker waited for the only one there was.
 */
const SIDE_BY_SIDE = 2;

/**
 * Fires what is due: what was decided ahead by one statement a batch, whatever else is due by claiming and deciding it. Then
 * looks ahead, unless there is more to fire at once: also where something is due at any time, or that would always be claimed.
 * @param limit most schedules of a batch
 */
export async function fireOnTime(deps: Deps, outlook: Outlook, limit?: number): Promise<FireResult> {
  const taken = await takeBatches(deps, outlook, limit);
  const settled = await Promise.allSettled(taken.batches.map((batch) => fireBatch(deps, outlook, batch)));
  const attempts = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  try {
    const failed = settled.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return await claimTheRest(deps, outlook, limit, taken, attempts);
  } catch (error) {
    // A pass that fails has no result by which its loop could wait for what it has begun.
    await Promise.all(attempts.map((done) => done?.published));
    throw error;
  }
}

async function claimTheRest(
  deps: Deps,
  outlook: Outlook,
  limit: number | undefined,
  { now, next_in_ms, batches }: Taken,
  attempts: readonly Attempt[],
): Promise<FireResult> {
  const full = batches.length > 0 && outlook.rest_due_at !== null;
  const missed = someMissed(now, next_in_ms, batches) || attempts.includes(null);
  const claimed = missed ? await fire(deps, limit) : null;
  const leisure = next_in_ms === null || next_in_ms > LEISURE_MS;
  const more = !full && (await lookAhead(deps, outlook, now, leisure || claimed !== null));
  const count = attempts.reduce((sum, done) => sum + (done?.fired ?? 0), claimed?.fired ?? 0);
  const wake_in_ms = outlook.wakeIn(claimed === null ? next_in_ms : claimed.next_in_ms);
  return {
    fired: count,
    skipped: claimed?.skipped ?? 0,
    published: Promise.all([...attempts, claimed].map((done) => done?.published)).then(() => {}),
    full: full || more || (claimed?.full ?? false),
    next_in_ms: count > 0 && wake_in_ms !== null ? Math.max(wake_in_ms, GATHER_MS) : wake_in_ms,
  };
}

interface Taken {
  readonly now: Instant;
  readonly next_in_ms: number | null;
  readonly batches: readonly Due[];
}

/** What became of a batch. Null: something raced, or a row is damaged; all of it is left to be claimed. */
type Attempt = Pick<FireResult, "fired" | "published"> | null;

async function takeBatches(deps: Deps, outlook: Outlook, limit: number | undefined): Promise<Taken> {
  const take = (now: Instant) => {
    const least = limit ?? batchSize(outlook.dueAt(now));
    const taken = Array.from({ length: SIDE_BY_SIDE }, () => outlook.takeDue(now, least));
    return taken.filter(({ foreseen }) => foreseen.length > 0);
  };
  // After full batches nothing needs to be asked: in a burst, when the processors are busy, an answer takes 10 to 20 ms.
  let state = { now: outlook.rest_due_at ?? 0, next_in_ms: 0 as number | null };
  let batches = take(state.now);
  if (batches.length === 0) {
    state = await firingState(deps.database);
    batches = take(state.now);
  }
  // Taken off in any case: without a broker they are claimed, and left here they would pile up while it is away.
  return { ...state, batches: deps.publisher.ready ? batches : [] };
}

/** Whether something is due that was not foreseen. */
function someMissed(now: Instant, next_in_ms: number | null, batches: readonly Due[]): boolean {
  if (next_in_ms === null || next_in_ms > 0) return false;
  const [first] = batches;
  // Instants have whole milliseconds, the rest of `now` is in `next_in_ms`.
  return first === undefined || Math.ceil(now + next_in_ms) < first.foreseen[0]!.schedule.next_run_at;
}

/** A schedule that is fired as it was foreseen. */
interface Fired {
  readonly foreseen: Foreseen;
  /** The entry of the agenda that it is due by next; null: it is not due again. */
  readonly next_entry: string | null;
}

async function fireBatch(deps: Deps, outlook: Outlook, { entries, foreseen }: Due): Promise<Attempt> {
  const lease = newLease(deps.instance);
  const entry = newEntries<string>();
  const batch = foreseen.map((one) => ({ foreseen: one, next_entry: entry(one.firing.next_run_at) }));
  try {
    const firing = fireForeseen(
      deps.database,
      lease,
      foreseen.map((one) => one.firing),
      batch.map(({ next_entry }) => next_entry),
      entries,
    );
    // The statement is its own transaction: this is while it is on its way.
    failpoint("fire_uncommitted");
    const fired = await firing;
    const done = existing(batch, fired);
    const published = done.length === 0 ? Promise.resolve() : hand(deps, outlook, lease.id, done, fired);
    return { fired: done.length, published };
  } catch (error) {
    if (!isDataError(error)) throw error;
    return null;
  }
}

/**
 * Of what is due, so much at a time that the broker has its first part and its last one early: the larger a batch, the less a
 * run costs, and the longer one side waits for the other (50,000 took 3,598 ms with 1,000 at a time, 3,737 with 500, 3,832 with
 * 2,000; 10,000 took 822 with 1,000).
 */
export function batchSize(due: number): number {
  return Math.min(2 * BATCH, Math.max(BATCH, Math.ceil(due / 20)));
}

const DISPATCHED = { status: "dispatched", status_reason: null };

function existing(batch: readonly Fired[], { run_ids }: ForeseenFired): readonly Fired[] {
  if (run_ids === null) return batch;
  const exist = new Set(run_ids);
  return batch.filter(({ foreseen }) => exist.has(foreseen.occurrence.run_id));
}

/** Counts what was fired, foresees its next occurrence (this is the one who knows the row's new version), publishes it. */
async function hand(
  deps: Deps,
  outlook: Outlook,
  id: string,
  done: readonly Fired[],
  { now, version }: ForeseenFired,
): Promise<void> {
  // In a burst, the next pass asks Postgres for the next batches first: this one is encoded while Postgres writes those.
  await setImmediate();
  countFired(
    deps,
    done.map(({ foreseen: { schedule, occurrence } }) => ({ schedule, occurrence, row: DISPATCHED })),
    now,
  );
  for (const { foreseen, next_entry } of done) {
    const { schedule, next_run_at } = foreseen;
    if (next_run_at === null || next_entry === null) continue;
    outlook.add({ ...schedule, next_run_at, version, run_count: schedule.run_count + 1 }, next_entry);
  }
  const runs = done.map(({ foreseen }) => toPublication(foreseen.schedule, foreseen.occurrence, now, foreseen));
  await publishLease(deps, { id, now, runs });
}
