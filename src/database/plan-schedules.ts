import type { ActionRegistry } from "../contracts/action-registry.ts";
import { cannotRun, type Plan, type PlanningContext, planSchedule } from "../schedule/planning.ts";
import type { Tx } from "./connection.ts";
import { dependencyErrors } from "./dependencies.ts";
import { type MadePlan, poolNames, type ScheduleToPlan } from "./planning.ts";

/**
 * Plans locked schedules against the registry in force; writes nothing. A schedule whose planning throws has that for its
 * problem, and the others go on.
 */
export async function makePlans(
  tx: Tx,
  actions: ActionRegistry,
  schedules: readonly ScheduleToPlan[],
): Promise<MadePlan[]> {
  const pools = await poolNames(tx);
  const errors = await dependencyErrors(tx, schedules);
  const context: PlanningContext = {
    pools,
    findAction: (name, version) => actions.find(name, version),
    describeAction: (name, version) => describeMissing(actions, name, version),
    dependencyErrors: (id) => errors.get(id) ?? [],
  };
  return schedules.map((schedule) => ({ schedule, plan: planOne(schedule, context) }));
}

function planOne(schedule: ScheduleToPlan, context: PlanningContext): Plan {
  try {
    return planSchedule(schedule, context);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return cannotRun(schedule, null, [{ field: "schedule", message: `cannot be planned: ${reason}` }]);
  }
}

/** Why an action cannot be used, and what could be instead. */
export function describeMissing(actions: ActionRegistry, name: string, version: number) {
  const versions = actions.list().filter((action) => action.name === name);
  if (versions.length > 0) {
    const known = versions.map((action) => action.version).join(", ");
    return { field: "action_version", message: `${name} has no version ${version} (it has ${known})` };
  }
  const names = [...new Set(actions.list().map((action) => action.name))].join(", ");
  return { field: "action", message: `there is no action ${JSON.stringify(name)} (there are ${names || "none"})` };
}
