import type { MessageData } from "../contracts/messages.ts";
import type { OutboxMessage } from "../database/outbox.ts";
import { runTraceparent } from "../schedule/run-id.ts";

/** What is told about a schedule that cannot be planned or fired. */
export function scheduleProblem(
  schedule: { readonly id: string; readonly name: string; readonly action: string },
  problem: string,
): OutboxMessage {
  const data: MessageData<"schedule.problem.v1"> = {
    schedule_id: schedule.id,
    schedule_name: schedule.name,
    action: schedule.action,
    problem,
  };
  return { exchange: "events", type: "schedule.problem.v1", subject: `schedules/${schedule.id}`, data };
}

/** Asks whoever works on this attempt to stop. */
export function cancelRequested(
  run: { readonly id: string; readonly attempt: number; readonly traceparent: string | null },
  reason: string,
): OutboxMessage {
  const data: MessageData<"run.cancel-requested.v1"> = { run_id: run.id, attempt: run.attempt, reason };
  return {
    exchange: "control",
    type: "run.cancel-requested.v1",
    subject: `runs/${run.id}`,
    traceparent: run.traceparent ?? runTraceparent(run.id),
    data,
  };
}
