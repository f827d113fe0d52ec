import { type Lease, type PublishableRun, returnUndelivered, settleLease } from "../database/leases.ts";
import { type LockedRun, lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { settleRuns } from "../database/settle-runs.ts";
import type { Deps } from "../deps.ts";
import type { Outcome } from "../messaging/publisher.ts";
import { failpoint } from "../runtime/failpoint.ts";
import { PRIORITY_NAMES } from "../schedule/policy.ts";
import { failAttempt } from "../schedule/run-transitions.ts";
import { isSoon } from "../schedule/supervision.ts";
import { follow } from "./follow.ts";
import { type Publication, triggerEvents } from "./trigger-events.ts";

/** How long the broker may take to confirm a batch (ms); below the lease's 15 s, so that its holder settles it first. */
const CONFIRM_TIMEOUT_MS = 10_000;

/** A lease whose runs' events may have been made ahead. */
interface PublishedLease extends Lease {
  readonly runs: readonly Publication[];
}

/**
 * Publishes the runs of a lease and settles it: confirmed ones are done; what the broker could not route or refused goes
 * back to pending with a backoff; what it will never accept fails as rejected; and runs whose confirm did not come stay
 * in the lease, to be published again under the same ids once it expires.
 *
 * Never rejects: whatever happens here, the lease is the guarantee.
 */
export async function publishLease(deps: Deps, lease: PublishedLease): Promise<void> {
  if (lease.runs.some((run) => isSoon(run.deadline_at, lease.now))) deps.wake("supervise");
  try {
    const events = triggerEvents(deps, lease.runs, lease.now);
    failpoint("lease_committed");
    const published = await deps.publisher.publish(
      events.filter((event) => event !== null),
      CONFIRM_TIMEOUT_MS,
    );
    failpoint("publish_confirmed");
    const answers = published.values();
    const outcomes = events.map((event) => (event === null ? "rejected" : (answers.next().value ?? "unknown")));
    await settle(deps, lease, outcomes);
  } catch (error) {
    deps.logger.warn({ err: error, lease: lease.id, runs: lease.runs.length }, "a lease is left to expire");
    deps.wake("supervise");
  }
}

async function settle(deps: Deps, lease: PublishedLease, outcomes: readonly Outcome[]): Promise<void> {
  const having = (...wanted: Outcome[]) => lease.runs.filter((_, index) => wanted.includes(outcomes[index]!));
  const undelivered = lease.runs.flatMap((run, index) => {
    const message = UNDELIVERED[outcomes[index]!];
    return message === undefined ? [] : [{ id: run.id, attempt: run.attempt, message }];
  });
  const rejected = having("rejected");
  const unknown = having("unknown").map((run) => run.id);
  for (const priority of [1, 2, 3] as const) {
    const those = outcomes.filter((_, index) => lease.runs[index]!.priority === priority);
    for (const [outcome, count] of tally(those)) {
      deps.metrics.triggers_published.inc({ outcome, priority: PRIORITY_NAMES[priority] }, count);
    }
  }

  if (rejected.length > 0) await failRejected(deps, rejected);
  if (undelivered.length === 0) await settleLease(deps.database, lease.id, unknown);
  else {
    await deps.database.transaction(async (tx) => {
      const held = await settleLease(tx, lease.id, unknown);
      if (held) await returnUndelivered(tx, undelivered);
    });
  }
  // It looks after the lease when that expires, and has to know the instant.
  if (unknown.length > 0) deps.wake("supervise");
  if (undelivered.length > 0) {
    deps.logger.warn({ runs: undelivered.length, first: undelivered[0] }, "the broker did not take some triggers");
    // A queue, binding or exchange may have been deleted under us: it is back before the runs' backoff is over.
    deps.wake("declare");
    deps.wake("dispatch");
  }
}

function tally(outcomes: readonly Outcome[]): Map<Outcome, number> {
  const counts = new Map<Outcome, number>();
  for (const outcome of outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  return counts;
}

const UNDELIVERED: { readonly [Key in Outcome]?: string } = {
  unroutable: "no queue is bound to the action's exchange and routing key, or the exchange does not exist",
  refused: "the broker refused the message (nack)",
};

// What the broker will never take (it is too large, say) would be refused in every attempt.
async function failRejected(deps: Deps, runs: readonly PublishableRun[]): Promise<void> {
  const ids = runs.map((run) => run.id);
  const settlement = await deps.database.transaction(async (tx) => {
    await lockSchedulesOfOutcomes(
      tx,
      ids.map((run_id) => ({ run_id, failed: true })),
    );
    const attempts = new Map(runs.map((run) => [run.id, run.attempt]));
    const locked = await lockRuns(tx, ids);
    const handed = locked.filter((run) => run.status === "dispatched" && run.attempt === attempts.get(run.id));
    return settleRuns(tx, handed.map(reject));
  });
  await follow(deps, settlement);
}

function reject(before: LockedRun) {
  const message = "the trigger event cannot be sent: it is too large for the broker, or the run's row is damaged";
  const { run } = failAttempt(before, { reason: "rejected", code: "rejected", message, retryable: false }, before.now);
  return { before, after: { ...before, ...run }, archived: [] };
}
