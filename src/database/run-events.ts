import { toIso } from "../schedule/instant.ts";
import { runTraceparent } from "../schedule/run-id.ts";
import { hasEnded, type RunState } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";
import { emit, type OutboxMessage } from "./outbox.ts";
import { type LockedRun, lockRuns } from "./run-states.ts";

const LABELS: Statement = {
  name: "labels",
  text: "SELECT id, labels FROM schedules WHERE id = ANY($1::uuid[])",
};

interface Change {
  readonly before: LockedRun | null;
  readonly after: LockedRun;
  readonly archived: readonly RunState[];
}

/** The lifecycle events of a batch of changes, as far as each run's `notify_on` asks for them. */
export async function runEvents(tx: Tx, changes: readonly Change[]): Promise<OutboxMessage[]> {
  const told = changes.flatMap(({ before, after, archived }) => {
    const wanted = after.policy.notify_on;
    const retries = wanted.includes("retrying") ? archived : [];
    const ends = hasEnded(after.status) && !(before !== null && hasEnded(before.status));
    return [
      ...retries.map((attempt) => ({ run: after, attempt })),
      ...(ends && wanted.includes(after.status) ? [{ run: after, attempt: null }] : []),
    ];
  });
  if (told.length === 0) return [];
  const ids = [...new Set(told.flatMap(({ run }) => run.schedule_id ?? []))];
  const rows = ids.length === 0 ? [] : await tx.query<{ id: string; labels: Record<string, string> }>(LABELS, [ids]);
  const labels = new Map(rows.map((row) => [row.id, row.labels]));
  return told.map(({ run, attempt }) => runEvent(run, attempt, labels.get(run.schedule_id ?? "") ?? {}));
}

/** Tells of runs that were inserted as skipped in this transaction, where their `notify_on` asks for it. */
export async function tellSkipped(tx: Tx, runIds: readonly string[]): Promise<boolean> {
  if (runIds.length === 0) return false;
  const runs = await lockRuns(tx, runIds);
  const events = await runEvents(
    tx,
    runs.map((after) => ({ before: null, after, archived: [] })),
  );
  await emit(tx, events);
  return events.length > 0;
}

/** What is told of a run that ended, or whose attempt failed and is followed by another (`attempt`: the archived one). */
function runEvent(run: LockedRun, attempt: RunState | null, labels: Record<string, string>): OutboxMessage {
  const name = attempt === null ? run.status : "retrying";
  const ended = attempt ?? run;
  const at = (instant: number | null) => (instant === null ? null : toIso(instant));
  return {
    exchange: "events",
    type: `run.${name}.v1`,
    subject: `runs/${run.id}`,
    traceparent: run.traceparent ?? runTraceparent(run.id),
    data: {
      run_id: run.id,
      schedule_id: run.schedule_id,
      schedule_name: run.schedule_name,
      parent_run_id: run.parent_run_id,
      target: run.target,
      action: run.action,
      action_version: run.action_version,
      trigger_type: run.trigger_type,
      triggered_by: run.triggered_by,
      labels,
      status: name,
      status_reason: ended.status_reason,
      attempt: ended.attempt,
      error: ended.error_message === null ? null : { code: ended.error_code, message: ended.error_message },
      metrics: ended.metrics,
      result: ended.result ?? null,
      worker: ended.worker,
      scheduled_for: toIso(run.scheduled_for),
      created_at: toIso(run.created_at),
      dispatched_at: at(ended.dispatched_at),
      started_at: at(ended.started_at),
      ...(attempt !== null ? { next_attempt_at: toIso(run.available_at) } : { completed_at: at(run.completed_at) }),
    },
  };
}
