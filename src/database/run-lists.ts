import { getTableColumns } from "drizzle-orm";
import type { Conditions } from "./conditions.ts";
import type { Tx } from "./connection.ts";
import { type Found, found, MOST_LOOKED_AT } from "./found.ts";
import { asksForLabels, fewByLabel } from "./labelled-schedules.ts";
import { idAt } from "./least-id.ts";
import { filtered, type RunFilter } from "./run-filter.ts";
import { type RunRow, runs, STATUSES } from "./schema.ts";

// Targets can be ten thousand texts: they are shown with a single run, not in a list.
const names = Object.keys(getTableColumns(runs)).filter((column) => column !== "targets");
const COLUMNS = names.map((column) => `r.${column}`).join(", ");

export type ListedRun = Omit<RunRow, "targets">;

export interface RunPage {
  readonly before: string | null;
  readonly limit: number;
}

/** Runs by id, which is by nominal instant, newest first; those before `before`. */
export async function listRuns(tx: Tx, filter: RunFilter, page: RunPage): Promise<Found<ListedRun>> {
  // All of one schedule or parent lie together.
  if (filter.schedule_id !== undefined || filter.parent_run_id !== undefined) {
    const where = filtered(filter);
    where.add(spanOf(where, "r", filter, page.before), null);
    const text = `SELECT ${COLUMNS} FROM runs r ${where.where} ORDER BY r.id DESC LIMIT ${where.parameter(page.limit)}`;
    return { rows: await tx.query<ListedRun>(text, where.values), looked_to: null };
  }
  const arms = armsOf(filter);
  const few = asksForLabels(filter) ? await fewByLabel(tx, filter) : null;
  if (few === null) return look(tx, filter, page, arms);
  if (few.length === 0) return { rows: [], looked_to: null };
  const narrowed = { ...filter, labels: undefined, label_names: undefined, schedule_ids: few };
  return arms === null ? merge(tx, narrowed, page) : look(tx, narrowed, page, arms);
}

/**
 * Looks at the newest runs among those that meet any of these conditions, each of which an index serves. A run found so lies on a
 * page of its own, and so does the schedule whose labels are asked for.
 */
async function look(tx: Tx, filter: RunFilter, page: RunPage, arms: readonly string[] | null) {
  const most = Math.floor(MOST_LOOKED_AT / (1 + (arms === null ? 0 : 1) + (asksForLabels(filter) ? 1 : 0)));
  const where = filtered(filter);
  const span = spanOf(where, "l", filter, page.before);
  const newest = (columns: string) =>
    (arms ?? ["true"])
      .map((arm) => `(SELECT ${columns} FROM runs l WHERE ${span} AND ${arm} ORDER BY l.id DESC LIMIT ${most})`)
      .join(" UNION ALL ");
  return show(
    tx,
    where,
    page,
    `looked AS MATERIALIZED (
       SELECT (SELECT l.id FROM (${newest("l.id")}) AS l ORDER BY l.id DESC OFFSET ${most - 1} LIMIT 1) AS id)`,
    `(${newest("l.*")}) AS r`,
  );
}

/**
 * Looks at the newest runs of each of these schedules, down to where the first of the schedules may have more. Ids come from the
 * index alone; the runs, dearer than any because they lie apart, are read in their order until there is a page of them.
 */
async function merge(tx: Tx, filter: RunFilter & { readonly schedule_ids: readonly string[] }, page: RunPage) {
  const each = Math.ceil(MOST_LOOKED_AT / filter.schedule_ids.length);
  const most = MOST_LOOKED_AT / 4;
  const where = filtered(filter);
  const span = spanOf(where, "l", filter, page.before);
  return show(
    tx,
    where,
    page,
    `newest AS MATERIALIZED (
       SELECT ARRAY(SELECT l.id FROM runs l WHERE l.schedule_id = s.id AND ${span} ORDER BY l.id DESC LIMIT ${each}) AS ids
       FROM unnest(${where.parameter(filter.schedule_ids)}::uuid[]) AS s (id)),
     merged AS MATERIALIZED (SELECT unnest(ids) AS id FROM newest ORDER BY id DESC LIMIT ${most}),
     looked AS MATERIALIZED (SELECT greatest(
       (SELECT ids[${each}] AS id FROM newest WHERE ids[${each}] IS NOT NULL ORDER BY id DESC LIMIT 1),
       (SELECT id FROM merged ORDER BY id DESC OFFSET ${most - 1} LIMIT 1)) AS id)`,
    "(SELECT id FROM merged ORDER BY id DESC) AS l JOIN runs r ON r.id = l.id",
  );
}

/** A page of those that pass of the runs `r` which are looked at, and with them the id down to which they are (`looked`). */
async function show(tx: Tx, where: Conditions, page: RunPage, looked: string, among: string) {
  const rows = await tx.query<ListedRun & { looked_to: string | null }>(
    `WITH ${looked}
     SELECT ${COLUMNS}, looked.id AS looked_to FROM looked LEFT JOIN (
       SELECT r.* FROM ${among} ${where.where} ORDER BY r.id DESC LIMIT ${where.parameter(page.limit)}
     ) AS r ON looked.id IS NULL OR r.id >= looked.id
     ORDER BY r.id DESC`,
    where.values,
  );
  return found(rows);
}

/**
 * Every status but `completed` is rare, and partial indexes find its runs. Each condition is one that an index of its own
 * serves; together they are the statuses asked for, and no run meets two. null: all of history is asked for.
 */
function armsOf({ status, children }: RunFilter): string[] | null {
  if (status === undefined || status.includes("completed")) return null;
  return STATUSES.filter((known) => status.includes(known)).flatMap((known) => {
    const its = `l.status = '${known}'`;
    if (known === "waiting") return [children === true ? its : `${its} AND l.parent_run_id IS NULL`];
    if (!["pending", "dispatched", "running"].includes(known)) return [its];
    return [
      `${its} AND l.child_total IS NULL AND l.cancel_requested_at IS NULL`,
      `${its} AND (l.child_total IS NOT NULL OR l.cancel_requested_at IS NOT NULL)`,
    ];
  });
}

/** The part of the primary key that a list is about: ids begin with the nominal instant. */
function spanOf(where: Conditions, run: "l" | "r", { from, to }: RunFilter, before: string | null): string {
  const bounds = [
    from === undefined ? [] : [`${run}.id >= ${where.parameter(idAt(from))}::uuid`],
    to === undefined ? [] : [`${run}.id < ${where.parameter(idAt(to))}::uuid`],
    before === null ? [] : [`${run}.id < ${where.parameter(before)}::uuid`],
  ].flat();
  return bounds.join(" AND ") || "true";
}

/** Those of these runs that the filter lets through, by id. */
export function pickRuns(tx: Tx, filter: RunFilter, ids: readonly string[]): Promise<ListedRun[]> {
  const where = filtered(filter);
  where.add(spanOf(where, "r", filter, null), null);
  where.add("r.id = ANY($?)", ids);
  return tx.query<ListedRun>(`SELECT ${COLUMNS} FROM runs r ${where.where} ORDER BY r.id`, where.values);
}
