import { brokenConstraint, type Statement, type Tx } from "./connection.ts";
import { type ScheduleColumn, type ScheduleColumns, toParameter } from "./schedule-columns.ts";

/** Inserts a schedule; answers its id, or null where the name is taken. */
export async function insertSchedule(tx: Tx, columns: ScheduleColumns): Promise<string | null> {
  const names = Object.keys(columns) as ScheduleColumn[];
  const values = names.map((name) => parameter(name, columns[name]));
  const [row] = await tx.query<{ id: string }>(
    `INSERT INTO schedules (${names.join(", ")}) VALUES (${names.map((_, index) => `$${index + 1}`).join(", ")})
     ON CONFLICT ON CONSTRAINT schedules_name_key DO NOTHING RETURNING id`,
    values,
  );
  return row?.id ?? null;
}

/**
 * Writes some columns of a locked schedule. The trigger does the rest: revision, planning.
 * @returns false where the new name is taken; the transaction is lost then
 */
export async function changeSchedule(tx: Tx, id: string, columns: ScheduleColumns): Promise<boolean> {
  const names = Object.keys(columns) as ScheduleColumn[];
  const values = names.map((name) => parameter(name, columns[name]));
  try {
    const changes = names.map((name, index) => `${name} = $${index + 2}`).join(", ");
    await tx.query(`UPDATE schedules SET ${changes} WHERE id = $1`, [id, ...values]);
    return true;
  } catch (error) {
    if (brokenConstraint(error) === "schedules_name_key") return false;
    throw error;
  }
}

function parameter(column: ScheduleColumn, value: unknown): unknown {
  return column === "payload" ? JSON.stringify(value) : toParameter(column, value);
}

const DELETE: Statement = { name: "delete_schedule", text: "DELETE FROM schedules WHERE id = $1" };

/** The trigger flags what had not started to be cancelled. */
export async function deleteSchedule(tx: Tx, id: string): Promise<void> {
  await tx.query(DELETE, [id]);
}

const PAUSE: Statement = {
  name: "pause_schedule",
  text: "UPDATE schedules SET paused_until = $2, pause_note = $3 WHERE id = $1",
};

export async function pauseSchedule(tx: Tx, id: string, until: string, note: string | null): Promise<void> {
  await tx.query(PAUSE, [id, until, note]);
}

// Writing plan_from means it: planning then starts where the pause began, and what was due since is caught up with as
// after an outage.
const RESUME: Statement = {
  name: "resume_schedule",
  text: `UPDATE schedules SET paused_until = NULL, pause_note = NULL, consecutive_failures = 0 WHERE id = $1`,
};
const RESUME_AND_CATCH_UP: Statement = {
  name: "resume_schedule_and_catch_up",
  text: `
    UPDATE schedules SET paused_until = NULL, pause_note = NULL, consecutive_failures = 0, plan_from = paused_at
    WHERE id = $1`,
};

/** Ends a pause. The failures that may have caused it are forgiven, or the next one would pause the schedule again. */
export async function resumeSchedule(tx: Tx, id: string, catchUp: boolean): Promise<void> {
  await tx.query(catchUp ? RESUME_AND_CATCH_UP : RESUME, [id]);
}

const ADVANCE: Statement = {
  name: "advance_past",
  text: `
    UPDATE schedules SET next_run_at = $2, last_occurrence_at = greatest(last_occurrence_at, $3::timestamptz) WHERE id = $1`,
};

/** Moves a locked schedule past an occurrence without running it. */
export async function advancePast(tx: Tx, id: string, next: string | null, passed: string): Promise<void> {
  await tx.query(ADVANCE, [id, next, passed]);
}

// Schedules that depend on each other are written by transactions that do not see each other's rows: without a lock for
// all of them, two edits could close a cycle, or a dependency be deleted while somebody begins to depend on it.
const LOCK_DEPENDENCIES: Statement = {
  name: "lock_dependencies",
  text: "SELECT pg_advisory_xact_lock(hashtext('pocketwatch dependencies'))",
};

/** Taken before any row by whoever changes what depends on what. */
export async function lockDependencies(tx: Tx): Promise<void> {
  await tx.query(LOCK_DEPENDENCIES);
}

const DEPENDENTS: Statement = {
  name: "dependents",
  text: "SELECT name FROM schedules WHERE cardinality(depends_on) > 0 AND depends_on @> ARRAY[$1::uuid] ORDER BY name LIMIT 20",
};

/** Names of schedules that depend on this one, twenty at most. */
export async function dependentsOf(tx: Tx, id: string): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(DEPENDENTS, [id]);
  return rows.map((row) => row.name);
}
