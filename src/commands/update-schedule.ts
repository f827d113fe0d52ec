import { isDeepStrictEqual } from "node:util";
import type { Tx } from "../database/connection.ts";
import {
  COLUMN_DEFAULTS,
  SCHEDULE_COLUMNS,
  type ScheduleColumn,
  type ScheduleColumns,
} from "../database/schedule-columns.ts";
import { type ScheduleView, viewSchedule } from "../database/schedule-queries.ts";
import { findScheduleId, lockSchedule } from "../database/schedule-runs.ts";
import { changeSchedule, insertSchedule, lockDependencies } from "../database/schedule-writes.ts";
import type { ScheduleRow } from "../database/schema.ts";
import { databaseNow } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { InvalidInput, NotFound } from "../schedule/errors.ts";
import { nameTaken } from "./create-schedule.ts";
import { checkRevision, lockNamedSchedule } from "./find-schedule.ts";
import { planNow } from "./plan-now.ts";
import { type ScheduleInput, toColumns } from "./schedule-input.ts";

/**
 * Changes the columns that are named and leaves the others.
 * @param revision the one the caller decided on; null: whatever it is
 * @throws NotFound, StaleRevision, Conflict where the new name is taken, InvalidInput on the columns at fault
 */
export async function updateSchedule(
  deps: Deps,
  idOrName: string,
  input: ScheduleInput,
  revision: number | null,
  actor: string,
): Promise<ScheduleView> {
  const schedule = await deps.database.transaction(
    async (tx) => {
      if (input.dependencies !== undefined) await lockDependencies(tx);
      const before = await lockNamedSchedule(tx, idOrName);
      checkRevision(before, revision);
      return change(deps, tx, before, await toColumns(tx, input, before));
    },
    { actor },
  );
  deps.wake("fire");
  // An occurrence that the edit put an end to may have to be told of.
  deps.wake("relay");
  return schedule;
}

/**
 * Makes a schedule be what is said, and the defaults where nothing is; one that does not exist is created under its name.
 * A pause is no part of it and stays.
 * @param expected the revision the caller decided on; `absent`: it is only to be created; null: whatever is there
 * @throws NotFound where an id, and not a name, is unknown; StaleRevision, Conflict, InvalidInput
 */
export async function replaceSchedule(
  deps: Deps,
  idOrName: string,
  input: ScheduleInput,
  expected: number | "absent" | null,
  actor: string,
): Promise<{ readonly schedule: ScheduleView; readonly created: boolean }> {
  const name = input.columns.name ?? null;
  const done = await deps.database.transaction(
    async (tx) => {
      if (input.dependencies?.length) await lockDependencies(tx);
      const columns = await toColumns(tx, input, {});
      for (;;) {
        const id = await findScheduleId(tx, idOrName);
        const before = id === undefined ? undefined : await lockSchedule(tx, id);
        if (before !== undefined) {
          checkRevision(before, expected);
          const complete = { ...COLUMN_DEFAULTS, ...columns, name: name ?? before.name };
          return { schedule: await change(deps, tx, before, complete), created: false };
        }
        if (typeof expected === "number" || isId(idOrName))
          throw new NotFound(`there is no schedule ${JSON.stringify(idOrName)}`);
        if (name !== null && name !== idOrName) throw differentName(idOrName);
        const created = await insertSchedule(tx, { ...columns, name: idOrName });
        // Null: somebody else created it just now, so it is there to be replaced.
        if (created === null) continue;
        await planNow(deps, tx, created);
        return { schedule: (await viewSchedule(tx, created))!, created: true };
      }
    },
    { actor },
  );
  deps.wake("fire");
  // An occurrence that the edit put an end to may have to be told of.
  deps.wake("relay");
  return done;
}

/** Writes what differs, so that saying again what is there already is no edit: no new revision, no planning, no audit. */
async function change(deps: Deps, tx: Tx, before: ScheduleRow, wanted: ScheduleColumns): Promise<ScheduleView> {
  const differing = SCHEDULE_COLUMNS.filter(
    (column) => wanted[column] !== undefined && !isDeepStrictEqual(wanted[column], before[column]),
  );
  if (differing.length > 0) {
    const columns = Object.fromEntries(differing.map((column: ScheduleColumn) => [column, wanted[column]]));
    await refusePast(tx, columns);
    if (!(await changeSchedule(tx, before.id, columns))) throw nameTaken(wanted.name ?? before.name);
    await planNow(deps, tx, before.id);
  }
  return (await viewSchedule(tx, before.id))!;
}

// Planning says so only of a schedule that has never run; one that has would silently be finished.
async function refusePast(tx: Tx, { run_at }: ScheduleColumns): Promise<void> {
  if (run_at == null || run_at > (await databaseNow(tx))) return;
  throw new InvalidInput([{ field: "run_at", message: "lies in the past, so that the schedule would never fire" }]);
}

function isId(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

function differentName(name: string): InvalidInput {
  return new InvalidInput([{ field: "name", message: `must be ${JSON.stringify(name)}, as in the address` }]);
}
