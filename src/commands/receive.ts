import { parseCommand } from "../contracts/parse.ts";
import { findUnstorable } from "../contracts/storable.ts";
import type { Deps } from "../deps.ts";
import type { Delivery } from "../messaging/delivery.ts";
import { NotFound } from "../schedule/errors.ts";
import { executeCommand } from "./execute-command.ts";
import { fireTriggers } from "./fire-triggers.ts";

/**
 * Carries out commands that came by message, in order. What cannot be read or carried out goes to the dead letters with the
 * reason; a failure of the database is thrown, and the consumer keeps what is left of the batch.
 */
export async function receiveCommands(deps: Deps, batch: readonly Delivery[]): Promise<void> {
  for (const delivery of batch) {
    const parsed = parseCommand(delivery.body);
    if (!parsed.ok) {
      deps.metrics.commands.inc({ type: "unknown", outcome: "invalid" });
      delivery.deadLetter(parsed.reason);
      continue;
    }
    const result = await executeCommand(deps, parsed.value);
    deps.metrics.commands.inc({ type: parsed.value.type, outcome: result.outcome });
    if (result.outcome === "refused") delivery.deadLetter(result.reason);
    else delivery.ack();
  }
}

/** Fires the schedules that wait for a channel; its name is the routing key. A signal nobody waits for is no mistake. */
export async function receiveSignals(deps: Deps, batch: readonly Delivery[]): Promise<void> {
  for (const delivery of batch) {
    const { messageId } = delivery.properties;
    const name = delivery.routing_key;
    const key =
      typeof messageId === "string" && messageId !== "" ? { source: `channel:${name}`, key: messageId } : null;
    try {
      await fireTriggers(deps, { kind: "channel", name, body: read(delivery.body) }, key, `channel:${name}`);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
    }
    delivery.ack();
  }
}

/** JSON where it is JSON that can be kept; anything else brings nothing but itself. */
function read(body: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return findUnstorable(value) === null ? value : undefined;
  } catch {
    return undefined;
  }
}
