import { randomUUID } from "node:crypto";
import { sqlState, type Tx } from "../database/connection.ts";
import {
  type Advance,
  claimDueSchedules,
  type DueSchedule,
  fireOccurrences,
  type NewOccurrenceRun,
  nextDueIn,
  setScheduleAside,
  unfinishedSchedules,
} from "../database/due-schedules.ts";
import type { Lease, PublishableRun } from "../database/leases.ts";
import { emit } from "../database/outbox.ts";
import { dispatchHeld } from "../database/settings.ts";
import type { Deps } from "../deps.ts";
import type { PassResult } from "../runtime/loop.ts";
import { type DueOutcome, decideOccurrences, type Occurrence } from "../schedule/occurrences.ts";
import { scheduleProblem } from "./events.ts";
import { publishLease } from "./publish-lease.ts";
import { releaseWaiting } from "./release.ts";

/** Most runs inserted by one transaction: enough to amortise its round trips, few enough to hold locks for milliseconds. */
const BATCH = 1_000;

export interface FireResult extends PassResult {
  readonly fired: number;
  readonly skipped: number;
  /** Settles when the batch's events are with the broker, or have been given up to the lease's expiry. Never rejects. */
  readonly published: Promise<void>;
}

interface Decided {
  readonly schedule: DueSchedule;
  readonly outcome: DueOutcome;
}

/**
 * Turns due occurrences into runs: claims due schedules, decides in pure code, inserts the runs and advances the
 * schedules in one statement. What nothing holds back is inserted as dispatched, under a lease, and published at once.
 * Writes no existing run, so it waits for nobody but an editor of the same schedule.
 */
export async function fire(deps: Deps, batch = BATCH): Promise<FireResult> {
  const lease = { id: randomUUID(), instance: deps.instance };
  const done = await deps.database.transaction(async (tx) => {
    const claimed = await claimDueSchedules(tx, batch);
    if (claimed.length === 0)
      return { decided: [], inserted: new Set<string>(), direct: false, next: await nextDueIn(tx) };
    const direct = deps.publisher.ready && !(await dispatchHeld(tx));
    const decided = await decide(deps, tx, claimed, batch);
    const inserted = await write(deps, tx, lease, decided, direct);
    return { decided, inserted, direct, next: await nextDueIn(tx) };
  });

  const runs = done.decided.flatMap(({ schedule, outcome }) =>
    outcome.occurrences
      .filter((occurrence) => done.inserted.has(occurrence.run_id))
      .map((occurrence) => ({ schedule, occurrence, status: statusOf(schedule, occurrence, done.direct) })),
  );
  const dispatched = runs.filter((run) => run.status === "dispatched");
  const published = dispatched.length === 0 ? Promise.resolve() : publishLease(deps, leaseOf(lease.id, dispatched));
  const waiting = runs.filter((run) => run.status === "waiting").map((run) => run.schedule.id);
  if (waiting.length > 0) await releaseWaiting(deps, waiting);
  if (runs.some((run) => run.status === "pending")) deps.wake("dispatch");
  if (runs.some((run) => run.schedule.targets?.length)) deps.wake("expand");

  for (const run of runs) deps.metrics.runs_created.inc({ trigger_type: "scheduled", status: run.status });
  const overdue = done.next !== null && done.next <= 0;
  return {
    fired: dispatched.length,
    skipped: runs.filter((run) => run.status === "skipped").length,
    published,
    full: overdue && done.decided.length > 0,
    // Overdue, but nothing to claim: somebody else holds those rows. Asking again at once would only burn processor.
    next_in_ms: overdue ? CONTENDED_MS : done.next,
  };
}

const CONTENDED_MS = 50;

async function decide(deps: Deps, tx: Tx, claimed: DueSchedule[], budget: number): Promise<Decided[]> {
  const exclusive = claimed.filter((schedule) => schedule.resolved.overlap !== "allow");
  const unfinished = await unfinishedSchedules(
    tx,
    exclusive.map((schedule) => schedule.id),
  );
  const decided: Decided[] = [];
  let left = budget;
  for (const schedule of claimed) {
    if (left <= 0) break;
    const before = unfinished.get(schedule.id);
    try {
      const outcome = decideOccurrences(
        {
          ...schedule,
          overlap: schedule.resolved.overlap,
          busy: before !== undefined,
          waiting: before?.waiting ?? false,
        },
        schedule.now,
        left,
      );
      left -= outcome.occurrences.length;
      decided.push({ schedule, outcome });
    } catch (error) {
      await setAside(deps, tx, schedule, error);
    }
  }
  return decided;
}

// A batch that Postgres refuses is halved until the offender stands alone; it is set aside, and the others fire.
async function write(
  deps: Deps,
  tx: Tx,
  lease: { id: string; instance: string },
  decided: readonly Decided[],
  direct: boolean,
): Promise<Set<string>> {
  if (decided.length === 0) return new Set();
  const runs = decided.flatMap(({ schedule, outcome }) =>
    outcome.occurrences.map((occurrence) => toRun(schedule, occurrence, direct)),
  );
  await tx.query("SAVEPOINT batch");
  try {
    return await fireOccurrences(tx, lease, runs, decided.map(toAdvance));
  } catch (error) {
    if (!isDataError(error)) throw error;
    await tx.query("ROLLBACK TO SAVEPOINT batch");
    const [only] = decided;
    if (decided.length === 1 && only !== undefined) {
      await setAside(deps, tx, only.schedule, error);
      return new Set();
    }
    const middle = decided.length >> 1;
    const first = await write(deps, tx, lease, decided.slice(0, middle), direct);
    const second = await write(deps, tx, lease, decided.slice(middle), direct);
    return new Set([...first, ...second]);
  }
}

/** SQLSTATE classes 22 (data exception) and 23 (integrity constraint): the row is at fault, not the server. */
function isDataError(error: unknown): boolean {
  const state = sqlState(error);
  return state !== null && (state.startsWith("22") || state.startsWith("23"));
}

async function setAside(deps: Deps, tx: Tx, schedule: DueSchedule, error: unknown): Promise<void> {
  const problem = error instanceof Error ? error.message : String(error);
  deps.logger.warn({ schedule: schedule.name, problem }, "a schedule cannot be fired and is set aside");
  await setScheduleAside(tx, schedule.id, problem);
  await emit(tx, [scheduleProblem(schedule, problem)]);
}

function statusOf(schedule: DueSchedule, { outcome }: Occurrence, direct: boolean) {
  if (outcome === "overlap" || outcome === "missed") return "skipped";
  if (outcome === "buffered" || outcome === "blocked") return "waiting";
  const free = direct && schedule.pool_open && schedule.resolved.breaker_key === undefined && !schedule.targets?.length;
  return outcome === "ready" && free ? "dispatched" : "pending";
}

const REASONS = { ready: null, jittered: "jitter", buffered: "buffered", blocked: "blocked" } as const;

function toRun(schedule: DueSchedule, occurrence: Occurrence, direct: boolean): NewOccurrenceRun {
  const status = statusOf(schedule, occurrence, direct);
  const { outcome, available_at } = occurrence;
  const skipped = outcome === "overlap" || outcome === "missed";
  return {
    id: occurrence.run_id,
    schedule_id: schedule.id,
    scheduled_for: occurrence.scheduled_for,
    status,
    status_reason: skipped ? outcome : REASONS[outcome],
    available_at,
    // Caught-up occurrences lie in the past: their time to start counts from now.
    deadline_at: skipped
      ? null
      : Math.max(available_at, schedule.now) + schedule.resolved.start_deadline_seconds * 1_000,
    completed_at: skipped ? schedule.now : null,
    result: occurrence.result,
  };
}

function toAdvance({ schedule, outcome }: Decided): Advance {
  const finished = schedule.max_runs !== null && schedule.run_count + outcome.started >= schedule.max_runs;
  return {
    id: schedule.id,
    next_run_at: finished ? null : outcome.next_run_at,
    last_occurrence_at: outcome.last_occurrence_at,
    last_run_id: outcome.last_run_id,
    runs: outcome.started,
  };
}

function leaseOf(id: string, runs: readonly { schedule: DueSchedule; occurrence: Occurrence }[]): Lease {
  return {
    id,
    now: runs[0]!.schedule.now,
    runs: runs.map(({ schedule, occurrence }): PublishableRun => {
      const run = toRun(schedule, occurrence, true);
      return {
        id: run.id,
        attempt: 1,
        schedule_id: schedule.id,
        schedule_name: schedule.name,
        action: schedule.action,
        action_version: schedule.action_version,
        trigger_type: "scheduled",
        triggered_by: schedule.name,
        scheduled_for: occurrence.scheduled_for,
        deadline_at: run.deadline_at,
        target: null,
        priority: schedule.resolved.priority,
        policy: schedule.resolved,
        payload: schedule.payload,
        traceparent: null,
      };
    }),
  };
}
