import { childDeltas } from "../schedule/parent-run.ts";
import { hasEnded, type RunState } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";
import { emit, type OutboxMessage } from "./outbox.ts";
import { countChildren } from "./parents.ts";
import { runEvent } from "./run-events.ts";
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
  /** Top-level runs that ended: what waits for them may be released. */
  readonly ended: readonly { readonly schedule_id: string; readonly completed: boolean }[];
  /** Some run is pending again. */
  readonly pending: boolean;
  /** Messages were written to the outbox. */
  readonly emitted: boolean;
}

const LABELS: Statement = {
  name: "labels",
  text: "SELECT id, labels FROM schedules WHERE id = ANY($1::uuid[])",
};

/**
 * Writes what became of locked runs, and everything that follows from it in the same transaction: archived attempts,
 * the counters and ends of parents, failures in a row, lifecycle events. The caller has locked the schedules of outcomes
 * first (lockSchedulesOfOutcomes).
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

  const ended = all.flatMap(({ before, after }) =>
    hasEnded(after.status) && !hasEnded(before.status) && after.parent_run_id === null && after.schedule_id !== null
      ? [{ schedule_id: after.schedule_id, status: after.status, completed: after.status === "completed" }]
      : [],
  );
  const paused = await countOutcomes(tx, ended);
  const events = await runEvents(tx, all);
  const outgoing = [...messages, ...events, ...paused];
  await emit(tx, outgoing);
  return {
    ended,
    pending: changed.some(({ before, after }) => after.status === "pending" && before.status !== "pending"),
    emitted: outgoing.length > 0,
  };
}

async function runEvents(tx: Tx, changes: readonly RunChange[]): Promise<OutboxMessage[]> {
  const told = changes.filter(({ before, after, archived }) => {
    const ends = hasEnded(after.status) && !hasEnded(before.status);
    const wanted = after.policy.notify_on;
    return (ends && wanted.includes(after.status)) || (archived.length > 0 && wanted.includes("retrying"));
  });
  if (told.length === 0) return [];
  const ids = [...new Set(told.flatMap(({ after }) => after.schedule_id ?? []))];
  const rows = await tx.query<{ id: string; labels: Record<string, string> }>(LABELS, [ids]);
  const labels = new Map(rows.map((row) => [row.id, row.labels]));
  return told.flatMap(({ before, after, archived }) => {
    const own = labels.get(after.schedule_id ?? "") ?? {};
    const ends = hasEnded(after.status) && !hasEnded(before.status);
    const events = [
      ...archived.map((attempt) => runEvent(after, attempt, own)),
      ends ? runEvent(after, null, own) : null,
    ];
    return events.filter((event) => event !== null);
  });
}
