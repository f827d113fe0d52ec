import type { PublishableRun } from "../database/leases.ts";
import type { Deps } from "../deps.ts";
import type { Route } from "../messaging/envelope.ts";
import type { Outgoing } from "../messaging/outgoing.ts";
import { triggerRoute } from "../messaging/topology.ts";
import { type TriggerFacts, triggerBody, triggerMessage } from "../messaging/trigger-event.ts";
import type { Instant } from "../schedule/instant.ts";
import { DEFAULT_POLICY, PRIORITY_NAMES } from "../schedule/policy.ts";
import { runTraceparent } from "../schedule/run-id.ts";

/** A run that is published, with its event's body if that was made ahead. */
export interface Publication extends PublishableRun {
  readonly body?: Buffer | undefined;
}

/** The trigger events of a batch, each at its run's place; null: it cannot be made. */
export function triggerEvents(deps: Deps, runs: readonly Publication[], now: Instant): (Outgoing | null)[] {
  const routeOf = routes(deps);
  return runs.map((run) => {
    // One run whose row was damaged by hand must not hold up the batch it is published with.
    try {
      const facts = triggerFacts(run);
      return triggerMessage(facts, run.body ?? triggerBody(facts), routeOf(run), now, run.deadline_at);
    } catch (error) {
      deps.logger.error({ err: error, run: run.id }, "a run cannot be made into a trigger event");
      return null;
    }
  });
}

/** What a run's event says, but for its instants. */
export function triggerFacts(run: PublishableRun): TriggerFacts {
  return {
    run_id: run.id,
    attempt: run.attempt,
    schedule_id: run.schedule_id,
    schedule_name: run.schedule_name,
    action: run.action,
    action_version: run.action_version,
    trigger_type: run.trigger_type,
    triggered_by: run.triggered_by,
    scheduled_for: run.scheduled_for,
    target: run.target,
    priority: PRIORITY_NAMES[run.priority],
    timeout_seconds: run.policy.timeout_seconds ?? DEFAULT_POLICY.timeout_seconds,
    heartbeat_seconds: run.policy.heartbeat_seconds ?? null,
    payload_json: run.payload,
    traceparent: run.traceparent ?? runTraceparent(run.id),
  };
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
