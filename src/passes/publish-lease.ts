import { type Lease, type PublishableRun, returnUndelivered, settleLease } from "../database/leases.ts";
import { type LockedRun, lockRuns, lockSchedulesOfOutcomes } from "../database/run-states.ts";
import { settleRuns } from "../database/settle-runs.ts";
import type { Deps } from "../deps.ts";
import { type Route, triggerMessage } from "../messaging/envelope.ts";
import type { Outcome, Outgoing } from "../messaging/publisher.ts";
import { triggerRoute } from "../messaging/topology.ts";
import { failpoint } from "../runtime/failpoint.ts";
import { DEFAULT_POLICY, PRIORITY_NAMES } from "../schedule/policy.ts";
import { runTraceparent } from "../schedule/run-id.ts";
import { failAttempt } from "../schedule/run-transitions.ts";
import { isSoon } from "../schedule/supervision.ts";
import { follow } from "./follow.ts";

/** How long the broker may take to confirm a batch (ms); below the lease's 15 s, so that its holder settles it first. */
const CONFIRM_TIMEOUT_MS = 10_000;

/**
 * Publishes the runs of a lease and settles it: confirmed ones are done; what the broker could not route or refused goes
 * back to pending with a backoff; what it will never accept fails as rejected; and runs whose confirm did not come stay
 * in the lease, to be published again under the same ids once it expires.
 *
 * Never rejects: whatever happens here, the lease is the guarantee.
 */
export async function publishLease(deps: Deps, lease: Lease): Promise<void> {
  if (lease.runs.some((run) => isSoon(run.deadline_at, lease.now))) deps.wake("supervise");
  try {
    const routeOf = routes(deps);
    const events = lease.runs.map((run) => toEventIfPossible(deps, run, routeOf(run), lease.now));
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

async function settle(deps: Deps, lease: Lease, outcomes: readonly Outcome[]): Promise<void> {
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

// One run whose row was damaged by hand must not hold up the batch it is published with.
function toEventIfPossible(deps: Deps, run: PublishableRun, route: Route, now: number): Outgoing | null {
  try {
    return toEvent(run, route, now);
  } catch (error) {
    deps.logger.error({ err: error, run: run.id }, "a run cannot be made into a trigger event");
    return null;
  }
}

/** Where the runs of a batch go; each action is looked up once. */
function routes(deps: Deps): (run: PublishableRun) => Route {
  const known = new Map<string, Route>();
  return ({ action, action_version }) => {
    // An action that has vanished from the contracts: unroutable, unless its queue is still bound.
    const routing_key = `${action}.v${action_version}`;
    let route = known.get(routing_key);
    if (route === undefined) {
      const found = deps.actions().find(action, action_version) ?? { exchange: null, routing_key };
      route = triggerRoute(deps.prefix, found);
      known.set(routing_key, route);
    }
    return route;
  };
}

function toEvent(run: PublishableRun, route: Route, now: number): Outgoing {
  const facts = {
    run_id: run.id,
    attempt: run.attempt,
    schedule_id: run.schedule_id,
    schedule_name: run.schedule_name,
    action: run.action,
    action_version: run.action_version,
    trigger_type: run.trigger_type,
    triggered_by: run.triggered_by,
    scheduled_for: run.scheduled_for,
    start_before: run.deadline_at,
    target: run.target,
    priority: PRIORITY_NAMES[run.priority],
    timeout_seconds: run.policy.timeout_seconds ?? DEFAULT_POLICY.timeout_seconds,
    heartbeat_seconds: run.policy.heartbeat_seconds ?? null,
    payload_json: run.payload,
    traceparent: run.traceparent ?? runTraceparent(run.id),
  };
  return triggerMessage(facts, route, now, run.deadline_at === null ? null : run.deadline_at - now);
}
