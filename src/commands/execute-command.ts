import type { Command, Message } from "../contracts/parse.ts";
import { isTraceparent } from "../contracts/trace-context.ts";
import type { RequestKey } from "../database/requests.ts";
import type { Deps } from "../deps.ts";
import { Conflict, InvalidInput, NotFound } from "../schedule/errors.ts";
import { PRIORITIES } from "../schedule/policy.ts";
import { cancelRun } from "./cancel-run.ts";
import { reload } from "./reload.ts";
import { runAction } from "./run-action.ts";
import { triggerSchedule } from "./trigger-schedule.ts";

/** What became of a command. `refused`: it can never be carried out, and `reason` says why, in one line. */
export type CommandOutcome =
  | { readonly outcome: "done" | "repeated" }
  | { readonly outcome: "refused"; readonly reason: string };

/**
 * Carries out a command that came by message, the same way as over HTTP. The same command (CloudEvents source and id) twice
 * is one. Only the database's own failures are thrown: then the command is to be kept and tried again.
 */
export async function executeCommand(deps: Deps, command: Command): Promise<CommandOutcome> {
  try {
    return { outcome: (await execute(deps, command)) ? "done" : "repeated" };
  } catch (error) {
    const final = error instanceof InvalidInput || error instanceof NotFound || error instanceof Conflict;
    if (!final) throw error;
    return { outcome: "refused", reason: error.message };
  }
}

/** Whether this was the first time. */
async function execute(deps: Deps, command: Command): Promise<boolean> {
  const { source, id } = command;
  switch (command.type) {
    case "schedules.reload.v1":
      return (await reload(deps, command.data.schedule_ids ?? null, { source, id }, source)) !== null;
    case "run.cancel.v1":
      await cancel(deps, command, source);
      return true;
    case "run.trigger.v1":
      return !(await trigger(deps, command, { source, key: id }));
  }
}

// A run that has ended already is as cancelled as it can be: the command lost a race, which is nobody's mistake.
async function cancel(deps: Deps, { data }: Message<"run.cancel.v1">, actor: string): Promise<void> {
  try {
    await cancelRun(deps, data.run_id, data.reason ?? null, actor);
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
  }
}

/** Whether it is a repetition. */
async function trigger(deps: Deps, command: Message<"run.trigger.v1">, key: RequestKey): Promise<boolean> {
  const { data, source } = command;
  const traceparent = isTraceparent(command.traceparent) ? command.traceparent : null;
  const priority = data.priority == null ? null : PRIORITIES[data.priority];
  if ("schedule" in data) {
    const input = { payload: data.payload, priority, traceparent };
    return (await triggerSchedule(deps, data.schedule, input, key, source)).repeated;
  }
  const request = {
    action: data.action,
    action_version: data.action_version ?? undefined,
    payload: data.payload,
    targets: data.targets ?? undefined,
    traceparent,
    policy: {
      priority,
      pool: data.pool,
      max_attempts: data.retry?.max_attempts,
      retry_backoff_seconds: data.retry?.backoff_seconds,
      retry_backoff_multiplier: data.retry?.multiplier,
      retry_backoff_max_seconds: data.retry?.max_backoff_seconds,
      timeout_seconds: data.timeout_seconds,
      heartbeat_seconds: data.heartbeat_seconds,
      notify_on: data.notify_on,
    },
  };
  return (await runAction(deps, request, key, source)).repeated;
}
