import { listening } from "../database/listening.ts";
import type { OutboxMessage } from "../database/outbox.ts";
import { type LockedRun, lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { type RunChange, settleRuns } from "../database/settle-runs.ts";
import { overdueRuns } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { hasEnded } from "../schedule/run-transitions.ts";
import { type Heard, judgeOverdue } from "../schedule/supervision.ts";
import { cancelRequested } from "./events.ts";
import { follow } from "./follow.ts";

const BATCH = 500;

export interface ExpireResult {
  /** Attempts that ended, followed by another one or not. */
  readonly ended: number;
  readonly full: boolean;
}

/** Judges runs whose deadline has passed: start, time-out, heartbeat, grace period of a cancel, end of a wait. */
export async function expire(deps: Deps, batch = BATCH): Promise<ExpireResult> {
  const { heard, found } = await deps.database.transaction(async (tx) => {
    const heard = await listening(tx);
    return { heard, found: await overdueRuns(tx, heard?.until ?? null, batch) };
  });
  const changes = [
    ...(await expireThese(deps, found.others, heard)),
    ...(await expireThese(deps, found.parents, heard)),
  ];
  const ended = changes.filter(({ after, archived }) => archived.length > 0 || hasEnded(after.status)).length;
  const full = found.others.length + found.parents.length === batch;
  return { ended, full: full && changes.length > 0 };
}

// Parents in a transaction of their own: whoever holds one must not lock what may be another's child.
async function expireThese(deps: Deps, ids: readonly string[], heard: Heard): Promise<readonly RunChange[]> {
  if (ids.length === 0) return [];
  const done = await deps.database.transaction(async (tx) => {
    await lockSchedulesOfOutcomes(
      tx,
      ids.map((run_id) => ({ run_id, failed: true })),
    );
    const { changes, messages } = judge(await lockRuns(tx, ids), heard);
    return { settlement: await settleRuns(tx, changes, messages), changes };
  });
  await follow(deps, done.settlement);
  return done.changes;
}

function judge(runs: readonly LockedRun[], heard: Heard) {
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
    if (judgement.tell_consumer) {
      messages.push(cancelRequested(before, (archived ?? run).status_reason ?? "timeout"));
    }
  }
  return { changes, messages };
}
