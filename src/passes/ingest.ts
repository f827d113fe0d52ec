import { parseMessage } from "../contracts/parse.ts";
import type { Tx } from "../database/connection.ts";
import type { OutboxMessage } from "../database/outbox.ts";
import { lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { type RunChange, type Settlement, settleRuns } from "../database/settle-runs.ts";
import type { Deps } from "../deps.ts";
import type { Delivery } from "../messaging/delivery.ts";
import { ECHO, readEcho } from "../messaging/echo.ts";
import { failpoint } from "../runtime/failpoint.ts";
import { applyUpdate, hasEnded, type RunState, type StatusUpdate, type Verdict } from "../schedule/run-transitions.ts";
import { isSoon } from "../schedule/supervision.ts";
import { heardEcho } from "./echo.ts";
import { cancelRequested } from "./events.ts";
import { follow } from "./follow.ts";
import { isPoison } from "./poison.ts";

/** How long an update of a run that is not in the database (yet) is kept, ms: a restored replica may lag behind. */
const UNKNOWN_RUN_MS = 60_000;

export interface IngestResult {
  readonly applied: number;
  readonly stale: number;
  readonly late: number;
  readonly unknown: number;
  readonly invalid: number;
}

interface Reported {
  readonly delivery: Delivery;
  readonly update: StatusUpdate;
}

/**
 * Takes a batch of status messages into the database: checks each against its contract, folds them per run in pure code,
 * and writes the outcome in one transaction; the messages are acknowledged after its commit. What cannot be read goes
 * to the dead letters, alone. A database failure is thrown: the consumer keeps the batch and tries again.
 */
export async function ingest(deps: Deps, batch: readonly Delivery[]): Promise<IngestResult> {
  const reported: Reported[] = [];
  let invalid = 0;
  let heard: number | null = null;
  for (const delivery of batch) {
    if (delivery.routing_key === ECHO) {
      heard = Math.max(heard ?? 0, readEcho(delivery.body) ?? 0);
      delivery.ack();
      continue;
    }
    const parsed = parseMessage("run.status.v1", delivery.body);
    if (parsed.ok) {
      reported.push({ delivery, update: { ...parsed.value.data, worker: parsed.value.source as string } });
    } else {
      invalid += 1;
      deps.logger.warn({ reason: parsed.reason }, "a status message breaks its contract");
      delivery.deadLetter(parsed.reason);
    }
  }
  const counts = await record(deps, reported);
  // After the commit of everything before it in the queue.
  if (heard !== null) await heardEcho(deps, heard);
  const result = { ...counts, invalid: invalid + counts.invalid };
  for (const [outcome, count] of Object.entries(result)) deps.metrics.status_updates.inc({ outcome }, count);
  return result;
}

// A batch that cannot be recorded for what is in it is halved until the offender stands alone.
async function record(deps: Deps, reported: readonly Reported[]): Promise<IngestResult> {
  const nothing = { applied: 0, stale: 0, late: 0, unknown: 0, invalid: 0 };
  if (reported.length === 0) return nothing;
  let done: Applied;
  try {
    done = await deps.database.transaction((tx) => apply(tx, reported));
  } catch (error) {
    if (!isPoison(error)) throw error;
    const [only] = reported;
    if (reported.length === 1 && only !== undefined) {
      only.delivery.deadLetter(`cannot be stored: ${(error as Error).message}`);
      return { ...nothing, invalid: 1 };
    }
    const middle = reported.length >> 1;
    const first = await record(deps, reported.slice(0, middle));
    const second = await record(deps, reported.slice(middle));
    return {
      applied: first.applied + second.applied,
      stale: first.stale + second.stale,
      late: first.late + second.late,
      unknown: first.unknown + second.unknown,
      invalid: first.invalid + second.invalid,
    };
  }
  failpoint("ingest_committed");
  const result = { ...nothing };
  for (const [index, { delivery }] of reported.entries()) {
    const verdict = done.verdicts[index]!;
    result[verdict] += 1;
    if (verdict === "unknown") setUnknownAside(deps, delivery);
    else delivery.ack();
  }
  if (done.soon) deps.wake("supervise");
  await follow(deps, done.settlement);
  return result;
}

interface Applied {
  readonly settlement: Settlement;
  readonly verdicts: readonly (Verdict | "unknown")[];
  /** Some attempt has a new deadline that is near. */
  readonly soon: boolean;
}

async function apply(tx: Tx, reported: readonly Reported[]): Promise<Applied> {
  const updates = reported.map(({ update }) => update);
  const ends = updates.filter((update) => hasEnded(update.status));
  await lockSchedulesOfOutcomes(
    tx,
    ends.map((update) => ({ run_id: update.run_id, failed: update.status === "failed" })),
  );
  const locked = await lockRuns(tx, [...new Set(updates.map((update) => update.run_id))]);
  const states = new Map(locked.map((run) => [run.id, { before: run, after: run, archived: [] as RunState[] }]));
  const messages: OutboxMessage[] = [];
  const verdicts = updates.map((update) => {
    const state = states.get(update.run_id);
    if (state === undefined) return "unknown";
    // No consumer was ever told of a parent, so none can speak for it.
    if (state.before.child_total !== null) return "stale";
    const { run, verdict, archived, stop } = applyUpdate(state.after, update, state.before.now);
    if (stop) {
      const { id, traceparent, cancel_reason } = state.before;
      messages.push(cancelRequested({ id, attempt: update.attempt, traceparent }, cancel_reason ?? "requested"));
    }
    // A run that nothing happened to stays the object it was, and is not written.
    if (run !== state.after) state.after = { ...state.after, ...run };
    if (archived !== null) state.archived.push(archived);
    return verdict;
  });
  const settlement = await settleRuns(tx, [...states.values()] satisfies RunChange[], messages);
  failpoint("ingest_uncommitted");
  const soon = [...states.values()].some(
    ({ before, after }) => after.deadline_at !== before.deadline_at && isSoon(after.deadline_at, before.now),
  );
  return { settlement, verdicts, soon };
}

function setUnknownAside(deps: Deps, delivery: Delivery): void {
  const reason = "run_id: no such run";
  if (deps.clock.monotonic() - delivery.first_seen < UNKNOWN_RUN_MS) delivery.retryLater(reason);
  else delivery.deadLetter(reason);
}
