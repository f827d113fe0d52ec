import type { Tx } from "../database/connection.ts";
import type { OutboxMessage } from "../database/outbox.ts";
import { type LockedRun, lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { type RunChange, settleRuns } from "../database/settle-runs.ts";
import { listening, overdueRuns } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { judgeOverdue } from "../schedule/supervision.ts";
import { cancelRequested } from "./events.ts";
import { release } from "./release.ts";

const BATCH = 500;

export interface ExpireResult {
  readonly ended: number;
  readonly full: boolean;
  /** Some run looks overdue but cannot be judged before ingest has caught up. */
  readonly unjudged: boolean;
}

/** Judges runs whose deadline has passed: start, time-out, heartbeat, grace period of a cancel, end of a wait. */
export async function expire(deps: Deps, batch = BATCH): Promise<ExpireResult> {
  const { settlement, changes, looked } = await deps.database.transaction(async (tx) => {
    const ids = await overdueRuns(tx, batch);
    await lockSchedulesOfOutcomes(
      tx,
      ids.map((run_id) => ({ run_id, failed: true })),
    );
    const { changes, messages } = await judge(tx, await lockRuns(tx, ids));
    return { settlement: await settleRuns(tx, changes, messages), changes, looked: ids.length };
  });
  if (settlement.pending) deps.wake("dispatch");
  if (settlement.emitted) deps.wake("relay");
  await release(deps, settlement.ended);
  return { ended: changes.length, full: looked === batch && changes.length > 0, unjudged: changes.length < looked };
}

async function judge(tx: Tx, runs: readonly LockedRun[]) {
  const heard = await listening(tx);
  const changes: RunChange[] = [];
  const messages: OutboxMessage[] = [];
  for (const before of runs) {
    // Somebody moved or ended it between the look and the lock.
    if (before.deadline_at === null || before.deadline_at > before.now) continue;
    const judgement = judgeOverdue(before, before.now, heard);
    if (judgement.kind === "wait") continue;
    if (judgement.kind === "move") {
      changes.push({ before, after: { ...before, deadline_at: judgement.deadline_at }, archived: [] });
      continue;
    }
    const { run, archived } = judgement.transition;
    changes.push({ before, after: { ...before, ...run }, archived: archived === null ? [] : [archived] });
    if (judgement.tell_consumer) messages.push(cancelRequested(before, run.status_reason ?? "timeout"));
  }
  return { changes, messages };
}
