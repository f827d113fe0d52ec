import type { Tx } from "../database/connection.ts";
import { type ScheduleView, viewSchedule } from "../database/schedule-queries.ts";
import { findScheduleId, type LockedSchedule, lockSchedule } from "../database/schedule-runs.ts";
import { NotFound, StaleRevision } from "../schedule/errors.ts";

/**
 * The schedule with this id or name, locked: whoever wants a run of it, or changes it, holds this lock first.
 * @throws NotFound
 */
export async function lockNamedSchedule(tx: Tx, idOrName: string): Promise<LockedSchedule> {
  const schedule = await lockSchedule(tx, await scheduleId(tx, idOrName));
  if (schedule === undefined) throw noSchedule(idOrName);
  return schedule;
}

/** @throws NotFound */
export async function scheduleId(tx: Tx, idOrName: string): Promise<string> {
  const id = await findScheduleId(tx, idOrName);
  if (id === undefined) throw noSchedule(idOrName);
  return id;
}

/**
 * The schedule with this id or name as it is shown, not locked.
 * @throws NotFound
 */
export async function viewNamedSchedule(tx: Tx, idOrName: string): Promise<ScheduleView> {
  const schedule = await viewSchedule(tx, await scheduleId(tx, idOrName));
  if (schedule === undefined) throw noSchedule(idOrName);
  return schedule;
}

function noSchedule(idOrName: string): NotFound {
  return new NotFound(`there is no schedule ${JSON.stringify(idOrName)}`);
}

/** @throws StaleRevision where the caller decided on an earlier revision than the present one, or took it to be absent */
export function checkRevision({ revision }: { readonly revision: number }, expected: number | "absent" | null): void {
  if (expected === "absent") throw new StaleRevision(revision, expected);
  if (expected !== null && revision !== expected) throw new StaleRevision(revision);
}
