import type { Tx } from "../database/connection.ts";
import { type ScheduleView, viewSchedule } from "../database/schedule-queries.ts";
import { insertSchedule, lockDependencies } from "../database/schedule-writes.ts";
import type { Deps } from "../deps.ts";
import { Conflict, InvalidInput } from "../schedule/errors.ts";
import { planNow } from "./plan-now.ts";
import { type ScheduleInput, toColumns } from "./schedule-input.ts";

/**
 * Creates a schedule, validated and planned.
 * @throws Conflict where the name is taken
 * @throws InvalidInput on the columns at fault
 */
export async function createSchedule(deps: Deps, input: ScheduleInput, actor: string): Promise<ScheduleView> {
  const schedule = await deps.database.transaction((tx) => insertPlanned(deps, tx, input), { actor });
  deps.wake("fire");
  return schedule;
}

const MOST_AT_ONCE = 1_000;

/**
 * Creates several schedules, or none. Later ones may depend on earlier ones by name.
 * @throws Conflict, InvalidInput whose fields begin with `schedules.<index>`
 */
export async function createSchedules(
  deps: Deps,
  inputs: readonly ScheduleInput[],
  actor: string,
): Promise<ScheduleView[]> {
  if (inputs.length > MOST_AT_ONCE) {
    throw new InvalidInput([{ field: "schedules", message: `must not be more than ${MOST_AT_ONCE} at once` }]);
  }
  const schedules = await deps.database.transaction(
    async (tx) => {
      const created: ScheduleView[] = [];
      for (const [index, input] of inputs.entries()) {
        created.push(await insertPlanned(deps, tx, input).catch((error: unknown) => rethrowAt(index, error)));
      }
      return created;
    },
    { actor },
  );
  deps.wake("fire");
  return schedules;
}

async function insertPlanned(deps: Deps, tx: Tx, input: ScheduleInput): Promise<ScheduleView> {
  if (input.dependencies?.length) await lockDependencies(tx);
  const columns = await toColumns(tx, input, {});
  const id = await insertSchedule(tx, columns);
  if (id === null) throw nameTaken(columns.name ?? "");
  await planNow(deps, tx, id);
  return (await viewSchedule(tx, id))!;
}

export function nameTaken(name: string): Conflict {
  return new Conflict(`there is a schedule ${JSON.stringify(name)} already`, { name });
}

function rethrowAt(index: number, error: unknown): never {
  if (error instanceof InvalidInput) {
    throw new InvalidInput(error.errors.map((one) => ({ ...one, field: `schedules.${index}.${one.field}` })));
  }
  if (error instanceof Conflict) throw new Conflict(error.message, { ...error.state, index });
  throw error;
}
