import { childDeltas } from "../schedule/parent-run.ts";
import { hasEnded, type RunState } from "../schedule/run-transitions.ts";
import { type BreakerNews, countBreakers } from "./breakers.ts";
import type { Statement, Tx } from "./connection.ts";
import { emit, type OutboxMessage } from "./outbox.ts";
import { countChildren } from "./parents.ts";
import { runEvents } from "./run-events.ts";
import { archiveAttempts, type LockedRun, writeRunStates } from "./run-states.ts";
import { countOutcomes } from "./schedule-outcomes.ts";

/** One locked run and what became of it. */
export interface RunChange {
  readonly before: LockedRun;
  readonly after: LockedRun;
  /** Attempts that failed on the way and are followed by another. */
  readonly archived: readonly RunState[];
}

/** What the caller does after its commit. */
export interface Settlement {
  /** Runs that ended, parents among them. */
  readonly finished: readonly LockedRun[];
  /** Attempts that ended and are followed by another. */
  readonly retried: readonly LockedRun[];
  /** Top-level runs of schedules that ended: what waits for them may be released. */
  readonly ended: readonly { readonly schedule_id: string; readonly completed: boolean }[];
  /** Some run is pending again, or a capped pool has room for one that was. */
  readonly pending: boolean;
  /** Messages were written to the outbox. */
  readonly emitted: boolean;
  readonly breakers: BreakerNews;
}

/**
 * Writes what became of locked runs, and everything that follows from it in the same transaction: archived attempts,
 * the counters and ends of parents, failures in a row, breakers, lifecycle events. The caller has locked the schedules of
 * outcomes first (lockSchedulesOfOutcomes).
 */
export async function settleRuns(
  tx: Tx,
  changes: readonly RunChange[],
  messages: readonly OutboxMessage[] = [],
): Promise<Settlement> {
  const changed = changes.filter(({ before, after }) => before !== after);
  await writeRunStates(
    tx,
    changed.map(({ after }) => after),
  );
  await archiveAttempts(
    tx,
    changed.flatMap(({ archived }) => archived),
  );

  const parents = await countChildren(tx, childDeltas(changed));
  await writeRunStates(
    tx,
    parents.map(({ after }) => after),
  );
  const all: RunChange[] = [...changed, ...parents.map((parent) => ({ ...parent, archived: [] }))];
  const finished = all.filter(({ before, after }) => hasEnded(after.status) && !hasEnded(before.status));
  const ended = finished.flatMap(({ after }) =>
    after.parent_run_id === null && after.schedule_id !== null
      ? [{ schedule_id: after.schedule_id, status: after.status, completed: after.status === "completed" }]
      : [],
  );
  const paused = await countOutcomes(tx, ended);
  const breakers = await countBreakers(tx, changed);
  const outgoing = [...messages, ...(await runEvents(tx, all)), ...paused];
  await emit(tx, outgoing);
  return {
    finished: finished.map(({ after }) => after),
    // An archived attempt has no columns of its own beyond a run's state.
    retried: changed.flatMap(({ after, archived }) => archived.map((attempt) => ({ ...after, ...attempt }))),
    ended,
    pending: changed.some(becamePending) || (await madeRoom(tx, changed)),
    emitted: outgoing.length > 0,
    breakers,
  };
}

function becamePending({ before, after }: RunChange): boolean {
  return after.status === "pending" && (before.status !== "pending" || before.attempt !== after.attempt);
}

// ORDER BY: see dispatch.ts.
const MADE_ROOM: Statement = {
  name: "made_room",
  text: `
    SELECT EXISTS (
      SELECT FROM pools p, LATERAL (
        SELECT FROM runs r
        WHERE r.pool = p.name AND r.status = 'pending' AND r.child_total IS NULL AND r.cancel_requested_at IS NULL
        ORDER BY r.pool, r.priority, r.available_at, r.id LIMIT 1) AS h
      WHERE p.name = ANY($1::text[]) AND p.max_in_flight IS NOT NULL AND NOT p.drained) AS made`,
};

// The place that a run gives back in a capped pool is somebody else's at once, not at the next poll.
async function madeRoom(tx: Tx, changes: readonly RunChange[]): Promise<boolean> {
  const inFlight = ({ status, child_total }: LockedRun) =>
    child_total === null && (status === "dispatched" || status === "running");
  const left = changes.filter(({ before, after }) => inFlight(before) && !inFlight(after));
  if (left.length === 0) return false;
  const [row] = await tx.query<{ made: boolean }>(MADE_ROOM, [[...new Set(left.map(({ after }) => after.pool))]]);
  return row!.made;
}
