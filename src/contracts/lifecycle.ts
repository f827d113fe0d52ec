import { z } from "zod";
import { actionName, actionVersion, attempt, instant, json, metrics, text, uuid } from "./fields.ts";
import { TRIGGER_TYPES } from "./run-trigger.ts";

/*
 * What the service tells anyone who listens, and what it asks of consumers. The published schemas are open: a later
 * version of the service may add fields.
 */

/** `run.cancel-requested.v1`, control: whoever works on this attempt stops and answers `cancelled`. */
export const runCancelRequested = z
  .looseObject({
    run_id: uuid,
    attempt,
    reason: text(0, 1024).nullable(),
  })
  .describe("Control: stop working on an attempt and answer with the status cancelled");

export const RUN_EVENTS = ["completed", "failed", "skipped", "cancelled", "retrying"] as const;
export type RunEventName = (typeof RUN_EVENTS)[number];

const about: Record<RunEventName, string> = {
  completed: "Event: a run has completed",
  failed: "Event: a run has failed for good",
  skipped: "Event: an occurrence was skipped",
  cancelled: "Event: a run was cancelled",
  retrying: "Event: an attempt has failed and another follows at next_attempt_at",
};

function runEvent(name: RunEventName) {
  return z
    .looseObject({
      run_id: uuid,
      schedule_id: uuid.nullable(),
      schedule_name: text(1, 255).nullable(),
      parent_run_id: uuid.nullable(),
      target: text(1, 1024).nullable(),
      action: actionName,
      action_version: actionVersion,
      trigger_type: z.enum(TRIGGER_TYPES),
      triggered_by: text(0, 1024).nullable(),
      labels: z.record(z.string(), z.string()).describe("The schedule's"),
      status: z.literal(name),
      status_reason: text(1, 255).nullable(),
      attempt: attempt.describe("The attempt that ended"),
      error: z.looseObject({ code: z.string().nullable(), message: z.string() }).nullable(),
      metrics: metrics.nullable(),
      result: json.nullable(),
      worker: text(0, 1024).nullable(),
      scheduled_for: instant,
      created_at: instant,
      dispatched_at: instant.nullable(),
      started_at: instant.nullable(),
      ...(name === "retrying" ? { next_attempt_at: instant } : { completed_at: instant }),
    })
    .describe(about[name]);
}

export const runCompleted = runEvent("completed");
export const runFailed = runEvent("failed");
export const runSkipped = runEvent("skipped");
export const runCancelled = runEvent("cancelled");
export const runRetrying = runEvent("retrying");

/** `schedule.problem.v1`: a schedule cannot be planned or fired until someone mends it. */
export const scheduleProblem = z
  .looseObject({
    schedule_id: uuid,
    schedule_name: text(1, 255),
    action: text(0, 255),
    problem: text(1, 100_000).describe("What is wrong, in words"),
  })
  .describe("Event: a schedule cannot be planned or fired until someone mends it");

/** `schedule.paused.v1`: a schedule was paused, by someone or after too many failures. */
export const schedulePaused = z
  .looseObject({
    schedule_id: uuid,
    schedule_name: text(1, 255),
    reason: z.enum(["requested", "failures"]),
    paused_until: instant.nullable().describe("null: until someone resumes it"),
    note: text(0, 10_000).nullable(),
    consecutive_failures: z.int().min(0),
  })
  .describe("Event: a schedule was paused");

/** `schedules.reloaded.v1`: the answer of one instance to `schedules.reload.v1`. */
export const schedulesReloaded = z
  .looseObject({
    instance: text(1, 255),
    planned: z.int().min(0).describe("Schedules marked to be planned anew"),
    problems: z
      .array(
        z.looseObject({
          action: text(0, 255).nullable(),
          schedule_id: uuid.nullable(),
          message: text(1, 100_000),
        }),
      )
      .describe("Contracts that could not be read, schedules that do not exist"),
  })
  .describe("Event: one instance has reloaded contracts and schedules");
