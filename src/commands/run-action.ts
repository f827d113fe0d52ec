import type { Tx } from "../database/connection.ts";
import { insertRuns } from "../database/new-runs.ts";
import { describeMissing } from "../database/plan-schedules.ts";
import { poolNames } from "../database/planning.ts";
import type { RequestKey } from "../database/requests.ts";
import type { RunRow } from "../database/schema.ts";
import type { Deps } from "../deps.ts";
import { InvalidInput } from "../schedule/errors.ts";
import { type PlannedSchedule, planSchedule, type ResolvedPolicy } from "../schedule/planning.ts";
import type { PartialPolicy } from "../schedule/policy.ts";
import { once, type Triggered } from "./once.ts";
import { followRun } from "./trigger-schedule.ts";

export interface ActionRequest {
  readonly action: string;
  /** undefined: the latest. */
  readonly action_version?: number | undefined;
  readonly payload: unknown;
  /** One child run for each. */
  readonly targets?: readonly string[] | undefined;
  /** Gaps are filled by the action, then by the service. */
  readonly policy: Omit<PartialPolicy, "overlap">;
  readonly traceparent?: string | null | undefined;
}

/**
 * Runs an action now, without a schedule.
 * @param key asking again under it gives the same run
 * @throws InvalidInput on `action`, `action_version`, `payload`, `targets`, `pool`
 */
export async function runAction(
  deps: Deps,
  request: ActionRequest,
  key: RequestKey | null,
  actor: string,
): Promise<Triggered> {
  const { traceparent, ...asked } = request;
  const triggered = await deps.database.transaction(
    (tx) => once(tx, key, { schedule_name: null, request: asked }, actor, () => insert(deps, tx, request, actor)),
    { actor },
  );
  if (!triggered.repeated) followRun(deps, triggered.run);
  return triggered;
}

async function insert(deps: Deps, tx: Tx, request: ActionRequest, actor: string): Promise<RunRow> {
  const action_version = request.action_version ?? deps.actions().find(request.action)?.version ?? FIRST_VERSION;
  const policy = await resolve(deps, tx, request, action_version);
  const [run] = await insertRuns(tx, [
    {
      schedule_id: null,
      schedule_name: null,
      action: request.action,
      action_version,
      payload: request.payload,
      targets: request.targets ?? null,
      trigger_type: "manual",
      triggered_by: actor,
      scheduled_for: null,
      policy,
      exclusive: false,
      status: "pending",
      status_reason: null,
      breaker_key: policy.breaker_key ?? null,
      traceparent: request.traceparent ?? null,
    },
  ]);
  return run!;
}

const FIRST_VERSION = 1;

// Checked like a schedule that is run by hand, so that both are told the same in the same words.
async function resolve(deps: Deps, tx: Tx, request: ActionRequest, version: number): Promise<ResolvedPolicy> {
  const actions = deps.actions();
  const schedule: PlannedSchedule = {
    ...request.policy,
    ...BY_HAND,
    notify_on: request.policy.notify_on ?? ["failed"],
    action: request.action,
    action_version: version,
    payload: request.payload,
    targets: request.targets ?? null,
  };
  const { errors, resolved } = planSchedule(schedule, {
    findAction: (name, wanted) => actions.find(name, wanted),
    describeAction: (name, wanted) => describeMissing(actions, name, wanted),
    pools: await poolNames(tx),
    dependencyErrors: () => [],
  });
  if (resolved === null || errors.length > 0) throw new InvalidInput(errors);
  return resolved;
}

/** Nothing stands in the way of a run that belongs to no schedule, so it is never exclusive. */
const BY_HAND = {
  id: "",
  name: "",
  kind: "manual",
  overlap: "allow",
  enabled: true,
  paused_until: null,
  max_runs: null,
  run_count: 0,
  plan_from: null,
  last_occurrence_at: null,
  next_run_at: null,
  updated_at: 0,
  superseded: null,
  now: 0,
  cron_expression: null,
  interval_seconds: null,
  interval_anchor: null,
  run_at: null,
  calendar: null,
  timezone: "UTC",
  dst_gap: "next_valid",
  dst_fold: null,
  starts_at: null,
  ends_at: null,
  created_at: 0,
} as const;
