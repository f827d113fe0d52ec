import { countFired } from "../counted.ts";
import { newEntries, nextDueIn, putBack, takeDue } from "../database/agenda-entries.ts";
import type { Tx } from "../database/connection.ts";
import {
  type ClaimedSchedule,
  claimDueSchedules,
  type DueSchedule,
  fireOccurrences,
  setScheduleAside,
  unfinishedSchedules,
} from "../database/due-schedules.ts";
import { type NewLease, newLease } from "../database/leases.ts";
import { emit } from "../database/outbox.ts";
import { tellSkipped } from "../database/run-events.ts";
import { dispatchHeld } from "../database/settings.ts";
import { type WriteItems, wholeFirst } from "../database/write-items.ts";
import type { Deps } from "../deps.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { PassResult } from "../runtime/loop.ts";
import type { Instant } from "../schedule/instant.ts";
import { decideOccurrences } from "../schedule/occurrences.ts";
import { scheduleProblem } from "./events.ts";
import { type Firing, type FiringRun, toAdvance, toFiring, toPublication } from "./fire-batch.ts";
import { publishLease } from "./publish-lease.ts";
import { releaseWaiting } from "./release.ts";

/**
 * Most runs inserted by one transaction that claims: enough to amortise its round trips, few enough to hold locks for milliseconds,
 * and for the broker to have something to do soon (a burst of 10,000 took 785 ms with 500, 822 with 1,000).
 */
export const BATCH = 500;
/** What somebody else is at is looked at again after so many ms; at once would only burn processor. */
const CONTENDED_MS = 50;
/**
 * Of many schedules that are held, each adds so many ms: whoever holds a hundred thousand does so for long, and going round them
 * takes a second.
 */
const HELD_MS = 4;

export interface FireResult extends PassResult {
  readonly fired: number;
  readonly skipped: number;
  /** Settles when the batch's events are with the broker, or have been given up to the lease's expiry. Never rejects. */
  readonly published: Promise<void>;
}

/**
 * Turns due occurrences into runs: claims due schedules, decides in pure code, inserts the runs and advances the
 * schedules in one statement. What nothing holds back is inserted as dispatched, under a lease, and published at once.
 * Writes no existing run, so it waits for nobody but an editor of the same schedule.
 */
export async function fire(deps: Deps, batch = BATCH): Promise<FireResult> {
  const lease = newLease(deps.instance);
  const done = await wholeFirst((writeItems) => claimAndFire(deps, batch, lease, writeItems));
  // While they were locked here, plan passed them over.
  if (done.unplanned > 0) deps.wake("plan");

  const having = (status: string) => done.runs.filter((run) => run.row.status === status);
  const dispatched = having("dispatched");
  const published = hand(deps, lease.id, dispatched);
  await follow(deps, done.runs, having("waiting"));
  const overdue = done.next !== null && done.next <= 0;
  return {
    fired: dispatched.length,
    skipped: having("skipped").length,
    published,
    full: overdue && done.taken > 0,
    next_in_ms: overdue ? CONTENDED_MS : done.next,
  };
}

function claimAndFire(deps: Deps, batch: number, lease: NewLease, writeItems: WriteItems) {
  return deps.database.transaction(async (tx) => {
    const due = await takeDue(tx, batch);
    const claimed = due.size === 0 ? [] : await claimDueSchedules(tx, [...due]);
    const ready = claimed.filter((schedule) => schedule.ready);
    const runs = ready.length === 0 ? [] : await fireClaimed(deps, tx, lease, ready, batch, writeItems);
    const held = without(due, claimed);
    await putBack(tx, held, Math.max(CONTENDED_MS, held.length * HELD_MS));
    const next = await nextDueIn(tx);
    failpoint("fire_uncommitted");
    return { runs, taken: due.size, unplanned: claimed.length - ready.length, next };
  });
}

async function fireClaimed(
  deps: Deps,
  tx: Tx,
  lease: NewLease,
  claimed: readonly ClaimedSchedule[],
  batch: number,
  writeItems: WriteItems,
): Promise<FiringRun[]> {
  const direct = deps.publisher.ready && !(await dispatchHeld(tx));
  const { firings, undecided } = await decide(deps, tx, claimed, batch, direct);
  // One that Postgres refuses is set aside, and the others fire.
  const inserted = await writeItems(
    tx,
    firings,
    (some) => write(tx, lease, some),
    async ({ schedule }, error) => {
      await setAside(deps, tx, schedule, error);
      return new Set<string>();
    },
  );
  await putBack(tx, undecided, 0);
  const runs = firings.flatMap((firing) => firing.runs).filter((run) => inserted.some((ids) => ids.has(run.row.id)));
  await tellSkippedOnes(deps, tx, runs);
  return runs;
}

/** Ids that were not claimed: of schedules that somebody holds, or that are due later, or gone. */
function without(due: ReadonlySet<string>, claimed: readonly DueSchedule[]): string[] {
  const own = new Set(claimed.map((schedule) => schedule.id));
  return [...due].filter((id) => !own.has(id));
}

async function decide(deps: Deps, tx: Tx, claimed: readonly ClaimedSchedule[], budget: number, direct: boolean) {
  const exclusive = claimed.filter((schedule) => schedule.resolved.overlap !== "allow").map((schedule) => schedule.id);
  const unfinished = await unfinishedSchedules(tx, exclusive);
  const firings: Firing[] = [];
  const undecided: string[] = [];
  let left = budget;
  for (const schedule of claimed) {
    if (left <= 0) {
      undecided.push(schedule.id);
      continue;
    }
    const before = unfinished.get(schedule.id);
    const { overlap } = schedule.resolved;
    const place = { overlap, busy: before !== undefined, waiting: before?.waiting ?? false };
    try {
      const outcome = decideOccurrences(schedule, place, schedule.now, left);
      left -= outcome.occurrences.length;
      firings.push(toFiring(schedule, outcome, direct));
    } catch (error) {
      await setAside(deps, tx, schedule, error);
    }
  }
  return { firings, undecided };
}

/** Answers the ids of the runs that did not exist yet. */
function write(tx: Tx, lease: NewLease, firings: readonly Firing[]): Promise<Set<string>> {
  const { now } = firings[0]!.schedule;
  const rows = firings.flatMap((firing) => firing.runs.map((run) => run.row));
  const entry = newEntries<Instant>();
  const advances = firings.map((firing) => toAdvance(firing, entry));
  return fireOccurrences(tx, lease, now, rows, advances);
}

async function setAside(deps: Deps, tx: Tx, schedule: DueSchedule, error: unknown): Promise<void> {
  const problem = error instanceof Error ? error.message : String(error);
  deps.logger.warn({ schedule: schedule.name, problem }, "a schedule cannot be fired and is set aside");
  await setScheduleAside(tx, schedule.id, problem);
  await emit(tx, [scheduleProblem(schedule, problem)]);
  deps.wake("relay");
}

async function tellSkippedOnes(deps: Deps, tx: Tx, runs: readonly FiringRun[]): Promise<void> {
  const skipped = runs.filter(({ row, schedule }) => row.status === "skipped" && wanted(schedule, "skipped"));
  const told = await tellSkipped(
    tx,
    skipped.map((run) => run.row.id),
  );
  if (told) deps.wake("relay");
}

const wanted = (schedule: DueSchedule, event: string) => schedule.resolved.notify_on.includes(event);

function hand(deps: Deps, id: string, runs: readonly FiringRun[]): Promise<void> {
  const [first] = runs;
  if (first === undefined) return Promise.resolve();
  const { now } = first.schedule;
  return publishLease(deps, {
    id,
    now,
    runs: runs.map(({ schedule, occurrence }) => toPublication(schedule, occurrence, now)),
  });
}

async function follow(deps: Deps, runs: readonly FiringRun[], waiting: readonly FiringRun[]): Promise<void> {
  const [first] = runs;
  if (first !== undefined) countFired(deps, runs, first.schedule.now);
  if (runs.some((run) => run.row.status === "pending")) deps.wake("dispatch");
  if (runs.some((run) => run.schedule.targets?.length)) deps.wake("expand");
  // After the commit, so that a previous run which ended meanwhile has either been seen by us or sees these.
  if (waiting.length > 0)
    await releaseWaiting(
      deps,
      waiting.map((run) => run.schedule.id),
    );
}
