import { getTableColumns } from "drizzle-orm";
import { type Conditions, conditions, containing } from "./conditions.ts";
import type { Statement, Tx } from "./connection.ts";
import { type Found, found, MOST_LOOKED_AT } from "./found.ts";
import { addLabels, asksForLabels, fewByLabel, LABELLED, type LabelFilter } from "./labelled-schedules.ts";
import { type ScheduleRow, type Status, schedules } from "./schema.ts";

export type ScheduleState = "active" | "paused" | "disabled" | "finished" | "problem";

/** A schedule as it is shown. */
export interface ScheduleView extends ScheduleRow {
  readonly state: ScheduleState;
  readonly last_run_status: Status | null;
}

/** The state of a schedule `s`, as SQL. */
export const STATE = `CASE
  WHEN s.problem IS NOT NULL THEN 'problem'
  WHEN NOT s.enabled THEN 'disabled'
  WHEN s.paused_until > pocketwatch_now() THEN 'paused'
  WHEN s.run_count >= s.max_runs
    OR (s.kind NOT IN ('event', 'manual') AND s.next_run_at IS NULL AND NOT s.needs_planning) THEN 'finished'
  ELSE 'active' END`;

// What a state implies, said so that an index can serve it: in most systems nearly every schedule is active.
export const IMPLIED: Readonly<Record<ScheduleState, string>> = {
  problem: "s.problem IS NOT NULL",
  disabled: "NOT s.enabled",
  paused: "s.paused_until IS NOT NULL",
  finished: "s.not_due OR s.max_runs IS NOT NULL",
  active: "true",
};

// Named one by one: a connection's prepared "SELECT *" breaks when a migration adds a column.
const COLUMNS = Object.keys(getTableColumns(schedules))
  .map((column) => `s.${column}`)
  .join(", ");
const VIEWED = `${COLUMNS}, ${STATE} AS state,
  (SELECT r.status FROM runs r WHERE r.id = s.last_run_id) AS last_run_status`;
const VIEW = `SELECT ${VIEWED} FROM schedules s`;

const ONE: Statement = { name: "view_schedule", text: `${VIEW} WHERE s.id = $1` };

export async function viewSchedule(tx: Tx, id: string): Promise<ScheduleView | undefined> {
  const [schedule] = await tx.query<ScheduleView>(ONE, [id]);
  return schedule;
}

export interface ScheduleFilter extends LabelFilter {
  readonly state?: readonly ScheduleState[] | undefined;
  readonly kind?: readonly string[] | undefined;
  readonly action?: readonly string[] | undefined;
  readonly priority?: readonly number[] | undefined;
  readonly pool?: readonly string[] | undefined;
  readonly text?: string | undefined;
}

export interface SchedulePage {
  readonly after: string | null;
  readonly limit: number;
}

/** Schedules by name, those after `after`. */
export async function listSchedules(tx: Tx, filter: ScheduleFilter, page: SchedulePage): Promise<Found<ScheduleView>> {
  const ids = asksForLabels(filter) ? await fewByLabel(tx, filter) : null;
  return look(tx, filter, page, ids !== null || isIndexed(filter) ? null : MOST_LOOKED_AT, ids);
}

/** Looks at the first `most` schedules, or without it at all that an index finds: those with these ids, where there are any. */
async function look(
  tx: Tx,
  filter: ScheduleFilter,
  page: SchedulePage,
  most: number | null,
  ids: readonly string[] | null,
): Promise<Found<ScheduleView>> {
  const where = filtered(filter);
  if (ids !== null) where.add("s.id = ANY($?)", ids);
  const after = page.after === null ? null : where.parameter(page.after);
  if (after !== null) where.add(`s.name > ${after}`, null);
  const limit = where.parameter(page.limit);
  if (most === null) {
    const text = `${VIEW} ${where.where} ORDER BY s.name LIMIT ${limit}`;
    return { rows: await tx.query<ScheduleView>(text, where.values), looked_to: null };
  }
  const from = after === null ? "" : `WHERE l.name > ${after}`;
  const rows = await tx.query<ScheduleView & { looked_to: string | null }>(
    `WITH looked AS MATERIALIZED (
       SELECT (SELECT l.name FROM schedules l ${from} ORDER BY l.name OFFSET ${most - 1} LIMIT 1) AS name)
     SELECT s.*, looked.name AS looked_to FROM looked LEFT JOIN (
       SELECT ${VIEWED} FROM (SELECT l.* FROM schedules l ${from} ORDER BY l.name LIMIT ${most}) AS s
       ${where.where} ORDER BY s.name LIMIT ${limit}) AS s ON true
     ORDER BY s.name`,
    where.values,
  );
  return found(rows);
}

/** Whether an index finds what the filter lets through, or nearly everything passes. */
function isIndexed({ state, ...others }: ScheduleFilter): boolean {
  if (state !== undefined && !state.includes("active")) return true;
  return Object.values(others).every((wanted) => wanted === undefined);
}

/** Ids and names of schedules by id, for commands that concern many. */
export function matchSchedules(
  tx: Tx,
  filter: ScheduleFilter,
  limit: number,
): Promise<{ id: string; name: string; state: ScheduleState }[]> {
  const where = filtered(filter);
  const most = where.parameter(limit);
  const text = `SELECT s.id, s.name, ${STATE} AS state FROM schedules s ${where.where} ORDER BY s.id LIMIT ${most}`;
  return tx.query(text, where.values);
}

function filtered(filter: ScheduleFilter): Conditions {
  const where = conditions();
  if (filter.state !== undefined) {
    where.add(`${STATE} = ANY($?)`, filter.state);
    where.add(filter.state.map((state) => IMPLIED[state]).join(" OR "), null);
  }
  if (filter.kind !== undefined) where.add("s.kind = ANY($?)", filter.kind);
  if (filter.action !== undefined) where.add("s.action = ANY($?)", filter.action);
  if (filter.priority !== undefined) where.add("(s.resolved->>'priority')::int = ANY($?)", filter.priority);
  if (filter.pool !== undefined) where.add("s.resolved->>'pool' = ANY($?)", filter.pool);
  if (asksForLabels(filter)) where.add(LABELLED, null);
  addLabels(where, filter);
  if (filter.text !== undefined) {
    where.add("s.name ILIKE $? OR s.description ILIKE $?", containing(filter.text));
  }
  return where;
}

const BY_NAMES: Statement = {
  name: "schedule_ids_by_name",
  text: "SELECT id, name FROM schedules WHERE name = ANY($1::text[])",
};

/** Name → id of those that exist. */
export async function scheduleIdsByName(tx: Tx, names: readonly string[]): Promise<Map<string, string>> {
  const rows = await tx.query<{ id: string; name: string }>(BY_NAMES, [names]);
  return new Map(rows.map((row) => [row.name, row.id]));
}

const TRIGGERED: Statement = {
  name: "triggered_schedules",
  text: `${VIEW} WHERE (s.webhook_pattern IS NOT NULL OR s.channel_pattern IS NOT NULL) AND s.name > $1
    ORDER BY s.name LIMIT $2`,
};

/** Schedules that something outside can fire, by name. */
export function listTriggered(tx: Tx, after: string, limit: number): Promise<ScheduleView[]> {
  return tx.query<ScheduleView>(TRIGGERED, [after, limit]);
}

const PATTERNS: Record<"webhook" | "channel", Statement> = {
  webhook: {
    name: "webhook_patterns",
    text: "SELECT id, name, webhook_pattern AS pattern FROM schedules WHERE webhook_pattern IS NOT NULL ORDER BY id",
  },
  channel: {
    name: "channel_patterns",
    text: "SELECT id, name, channel_pattern AS pattern FROM schedules WHERE channel_pattern IS NOT NULL ORDER BY id",
  },
};

export function triggerPatterns(
  tx: Tx,
  kind: "webhook" | "channel",
): Promise<{ readonly id: string; readonly name: string; readonly pattern: string }[]> {
  return tx.query(PATTERNS[kind]);
}

const MISSING: Statement = {
  name: "missing_schedules",
  text: `
    SELECT m.id FROM unnest($1::uuid[]) AS m (id) WHERE NOT EXISTS (SELECT FROM schedules s WHERE s.id = m.id)`,
};

/** Those of these ids that no schedule has. */
export async function missingSchedules(tx: Tx, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(MISSING, [ids]);
  return rows.map((row) => row.id);
}
