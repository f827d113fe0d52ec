import { toIso } from "../schedule/instant.ts";
import { hasEnded, type RunState } from "../schedule/run-transitions.ts";
import type { OutboxMessage } from "./outbox.ts";
import type { LockedRun } from "./run-states.ts";

/**
 * What is told about a run that ended, or whose attempt failed and is followed by another (`attempt` is then the archived
 * one); null where its schedule's `notify_on` does not ask for it.
 */
export function runEvent(
  run: LockedRun,
  attempt: RunState | null,
  labels: Record<string, string>,
): OutboxMessage | null {
  const name = attempt !== null ? "retrying" : hasEnded(run.status) ? run.status : null;
  if (name === null || !run.policy.notify_on.includes(name)) return null;
  const ended = attempt ?? run;
  const at = (instant: number | null) => (instant === null ? null : toIso(instant));
  return {
    exchange: "events",
    type: `run.${name}.v1`,
    subject: `runs/${run.id}`,
    traceparent: run.traceparent,
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
