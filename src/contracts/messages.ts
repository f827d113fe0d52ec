import type { z } from "zod";
import { cloudEvent } from "./cloud-event.ts";
import { runCancel, runTriggerCommand, schedulesReload } from "./commands.ts";
import {
  runCancelled,
  runCancelRequested,
  runCompleted,
  runFailed,
  runRetrying,
  runSkipped,
  schedulePaused,
  scheduleProblem,
  schedulesReloaded,
} from "./lifecycle.ts";
import { runStatus } from "./run-status.ts";
import { runTrigger } from "./run-trigger.ts";

/**
 * Every message the service owns: CloudEvents type → schema of its `data`. A version that was published never
 * changes incompatibly; a new one is added beside it. `run.trigger.v1` is the command; a trigger event has the type of
 * its action (`scout.trigger.v1`) and the schema `run-trigger.v1`.
 */
export const messages = {
  "run.status.v1": runStatus,
  "schedules.reload.v1": schedulesReload,
  "run.trigger.v1": runTriggerCommand,
  "run.cancel.v1": runCancel,
  "run.cancel-requested.v1": runCancelRequested,
  "run.completed.v1": runCompleted,
  "run.failed.v1": runFailed,
  "run.skipped.v1": runSkipped,
  "run.cancelled.v1": runCancelled,
  "run.retrying.v1": runRetrying,
  "schedule.problem.v1": scheduleProblem,
  "schedule.paused.v1": schedulePaused,
  "schedules.reloaded.v1": schedulesReloaded,
} as const;

export type MessageType = keyof typeof messages;
export type MessageData<T extends MessageType> = z.infer<(typeof messages)[T]>;

export const COMMANDS = ["schedules.reload.v1", "run.trigger.v1", "run.cancel.v1"] as const;
export type CommandType = (typeof COMMANDS)[number];

/** The schema of a trigger event's `data`. */
export const triggerData = runTrigger;

/** Everything that has a published schema: name of the file → schema. */
export const published: Readonly<Record<string, z.ZodType>> = {
  "cloud-event.v1": cloudEvent,
  "run-trigger.v1": triggerData,
  ...Object.fromEntries(Object.entries(messages).map(([type, schema]) => [schemaName(type as MessageType), schema])),
};

/** `run.status.v1` → `run-status.v1`; commands are named `command-…`, for `run.trigger.v1` is not the trigger event. */
export function schemaName(type: MessageType): string {
  const name = type.replaceAll(".", "-").replace(/-(v\d+)$/, ".$1");
  return (COMMANDS as readonly string[]).includes(type) ? `command-${name}` : name;
}

/** The published address of a schema (`dataschema`). */
export function schemaAddress(name: string): string {
  return `https://pocketwatch.dev/contracts/${name}.schema.json`;
}
