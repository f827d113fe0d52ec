import { z } from "zod";
import { actionName, actionVersion, json, priority, seconds, text, uuid } from "./fields.ts";

/*
 * Commands are strict, as the HTTP API is: whoever asks for something with a misspelt field is told so (dead letter
 * with the reason) instead of getting something else.
 */

/** `schedules.reload.v1`: read the contracts again and plan all schedules, or these. */
export const schedulesReload = z
  .strictObject({
    schedule_ids: z.array(uuid).min(1).max(10_000).nullish().describe("Absent: all schedules"),
  })
  .describe("Command: re-read the contracts and plan schedules anew");

const triggerSchedule = z.strictObject({
  schedule: text(1, 255).describe("Id or name of the schedule to trigger now"),
  payload: json.optional().describe("Instead of the schedule's own payload"),
  priority: priority.nullish(),
});

const triggerAction = z.strictObject({
  action: actionName,
  action_version: actionVersion.nullish().describe("Absent: the latest"),
  payload: json.describe("As contracts/actions/<action>/v<version>.schema.json says"),
  targets: z.array(text(1, 1024)).min(1).max(100_000).nullish().describe("One child run for each"),
  priority: priority.nullish(),
  pool: text(1, 255).nullish(),
  retry: z
    .strictObject({
      max_attempts: z.int().min(1).max(1000).optional(),
      backoff_seconds: seconds.optional(),
      multiplier: z.number().min(1).max(100).optional(),
      max_backoff_seconds: seconds.optional(),
    })
    .nullish(),
  timeout_seconds: seconds.min(1).nullish(),
  heartbeat_seconds: seconds.nullish(),
  notify_on: z
    .array(z.enum(["completed", "failed", "skipped", "cancelled", "retrying"]))
    .max(5)
    .nullish(),
});

/** `run.trigger.v1`: run a schedule now, or an action without a schedule. */
export const runTriggerCommand = z
  .union([triggerSchedule, triggerAction])
  .describe("Command: trigger a schedule now, or run an action without a schedule");

/** `run.cancel.v1`: stop a run. */
export const runCancel = z
  .strictObject({
    run_id: uuid,
    reason: text(0, 1024).nullish(),
  })
  .describe("Command: cancel a run");
