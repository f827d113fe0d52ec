import { check, parseEnvelope } from "../contracts/parse.ts";
import { runTrigger } from "../contracts/run-trigger.ts";
import { type LockedRun, lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { type RunChange, settleRuns } from "../database/settle-runs.ts";
import type { Deps } from "../deps.ts";
import type { Delivery } from "../messaging/delivery.ts";
import { failAttempt, hasEnded } from "../schedule/run-transitions.ts";
import { follow } from "./follow.ts";

interface Rejected {
  readonly run_id: string;
  readonly attempt: number;
  readonly message: string;
}

/**
 * Hears of triggers that went to the dead letters: rejected by a consumer, or delivered too often. Their attempt has
 * failed as `rejected`. Expired ones are left to their start deadline, which is the same instant.
 */
export async function rejectTriggers(deps: Deps, batch: readonly Delivery[]): Promise<number> {
  const rejected = batch.flatMap((delivery) => read(delivery) ?? []);
  if (rejected.length > 0) {
    const settlement = await deps.database.transaction(async (tx) => {
      await lockSchedulesOfOutcomes(
        tx,
        rejected.map(({ run_id }) => ({ run_id, failed: true })),
      );
      const locked = await lockRuns(tx, [...new Set(rejected.map(({ run_id }) => run_id))]);
      return settleRuns(
        tx,
        locked.map((before) => reject(before, rejected)),
      );
    });
    await follow(deps, settlement);
  }
  for (const delivery of batch) delivery.ack();
  return rejected.length;
}

function reject(before: LockedRun, rejected: readonly Rejected[]): RunChange {
  const rejection = rejected.find(({ run_id, attempt }) => run_id === before.id && attempt === before.attempt);
  const open = !hasEnded(before.status) && before.status !== "waiting" && before.child_total === null;
  if (rejection === undefined || !open) return { before, after: before, archived: [] };
  const failure = { reason: "rejected", code: "rejected", message: rejection.message } as const;
  const { run, archived } = failAttempt(before, failure, before.now);
  return { before, after: { ...before, ...run }, archived: archived === null ? [] : [archived] };
}

const WHY: Readonly<Record<string, string>> = {
  rejected: "a consumer rejected the trigger",
  delivery_limit: "the trigger was delivered too often without being acknowledged",
};

function read(delivery: Delivery): Rejected | null {
  const headers = (delivery.properties.headers ?? {}) as Record<string, unknown>;
  const message = WHY[String(headers["x-first-death-reason"])];
  if (message === undefined) return null;
  const envelope = parseEnvelope(delivery.body);
  const data = envelope.ok ? check(runTrigger, envelope.value.data, "data") : null;
  if (data === null || !data.ok) return null;
  return { run_id: data.value.run_id, attempt: data.value.attempt, message };
}
