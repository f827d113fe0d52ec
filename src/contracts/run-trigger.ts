import { z } from "zod";
import { actionName, actionVersion, attempt, instant, json, priority, seconds, text, uuid } from "./fields.ts";

export const TRIGGER_TYPES = ["scheduled", "manual", "event", "dependency", "backfill"] as const;

/** `data` of a trigger event, `<action>.v<version>`: start this attempt of this run. */
export const runTrigger = z
  .looseObject({
    run_id: uuid.describe("The run; name it in every status update"),
    attempt: attempt.describe("1, 2, 3 …; name it in every status update, updates of another attempt are ignored"),
    schedule_id: uuid.nullable().describe("null for a run without a schedule"),
    schedule_name: text(1, 255).nullable(),
    action: actionName,
    action_version: actionVersion,
    trigger_type: z.enum(TRIGGER_TYPES),
    triggered_by: text(0, 1024).nullable().describe("Schedule, token, command source or database role"),
    scheduled_for: instant.describe("The nominal instant"),
    start_before: instant.nullable().describe("Do not start after this instant"),
    target: text(1, 1024).nullable().describe("The one machine, node or site this run is for"),
    priority,
    timeout_seconds: seconds.min(1).nullable().describe("Counted from `started`"),
    heartbeat_seconds: seconds
      .min(1)
      .nullable()
      .describe("A running attempt that is silent for longer has failed; send a heartbeat at a third of it"),
    payload: json.describe("As contracts/actions/<action>/v<version>.schema.json says"),
  })
  .describe("Trigger event: start an attempt of a run");
