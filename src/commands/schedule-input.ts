import type { Tx } from "../database/connection.ts";
import { COLUMN_DEFAULTS, type ScheduleColumn, type ScheduleColumns } from "../database/schedule-columns.ts";
import { scheduleIdsByName } from "../database/schedule-queries.ts";
import type { ScheduleRow } from "../database/schema.ts";
import { databaseNow } from "../database/supervision.ts";
import { type FieldError, InvalidInput } from "../schedule/errors.ts";
import { resolveLocalTime } from "../schedule/timing.ts";

/** What somebody wants a schedule to be: its columns, and two things that become columns when they are written. */
export interface ScheduleInput {
  /** undefined: not named; null: the default. */
  readonly columns: { readonly [Column in ScheduleColumn]?: ScheduleRow[Column] | null | undefined };
  /** A local time of day for kind `once`: the next one becomes `run_at`. */
  readonly local_time?: string | undefined;
  /** Ids or names, instead of the column's ids. */
  readonly dependencies?: readonly string[] | undefined;
}

const TIMING_COLUMNS = [
  ...["cron_expression", "interval_seconds", "interval_anchor", "run_at", "calendar", "timezone"],
  ...["dst_gap", "dst_fold", "starts_at", "ends_at", "jitter_seconds"],
] as const satisfies readonly ScheduleColumn[];

const ZONED = ["timezone", "dst_gap", "dst_fold"] as const;
const OWN: Record<ScheduleRow["kind"], readonly ScheduleColumn[]> = {
  cron: ["cron_expression", ...ZONED],
  interval: ["interval_seconds", "interval_anchor"],
  once: ["run_at", ...ZONED],
  calendar: ["calendar", ...ZONED],
  event: [],
  manual: [],
};
const EVERY_KIND: readonly ScheduleColumn[] = ["starts_at", "ends_at", "jitter_seconds"];

/**
 * The columns that a change asks for, complete: a timing of another kind replaces the old one, parts of a calendar are
 * merged into it, a local time becomes an instant, names of dependencies become ids.
 * @throws InvalidInput
 */
export async function toColumns(tx: Tx, input: ScheduleInput, before: ScheduleColumns): Promise<ScheduleColumns> {
  const columns = named(input.columns);
  const kind = columns.kind ?? before.kind ?? COLUMN_DEFAULTS.kind;
  refuseForeign(columns, kind, input.local_time);
  const retimed = columns.kind !== undefined && columns.kind !== before.kind;
  const fresh = retimed ? Object.fromEntries(TIMING_COLUMNS.map((name) => [name, COLUMN_DEFAULTS[name]])) : {};
  const merged: ScheduleColumns = { ...fresh, ...columns };
  return {
    ...merged,
    ...(columns.calendar === undefined ? {} : { calendar: mergeCalendar(retimed ? null : before.calendar, columns) }),
    ...(input.local_time === undefined
      ? {}
      : { run_at: await nextLocal(tx, input.local_time, { ...before, ...merged }) }),
    ...(input.dependencies === undefined ? {} : { depends_on: await dependencyIds(tx, input.dependencies) }),
  };
}

// JSON's null is a payload like any other.
function named(columns: ScheduleInput["columns"]): ScheduleColumns {
  const given = Object.entries(columns).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    given.map(([column, value]) => [
      column,
      value === null && column !== "payload" ? COLUMN_DEFAULTS[column as ScheduleColumn] : value,
    ]),
  );
}

function refuseForeign(columns: ScheduleColumns, kind: ScheduleRow["kind"], localTime: string | undefined): void {
  const allowed = [...OWN[kind], ...EVERY_KIND];
  const foreign: string[] = TIMING_COLUMNS.filter(
    (name) => columns[name] !== undefined && columns[name] !== COLUMN_DEFAULTS[name] && !allowed.includes(name),
  );
  if (localTime !== undefined && kind !== "once") foreign.push("time");
  if (foreign.length === 0) return;
  throw new InvalidInput(foreign.map((field) => ({ field, message: `does not belong to kind ${kind}` })));
}

function mergeCalendar(before: unknown, { calendar }: ScheduleColumns): Record<string, unknown> | null {
  if (calendar === null) return null;
  const merged = { ...(before as object | null), ...(calendar as object) };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
}

async function nextLocal(tx: Tx, time: string, { timezone, dst_gap }: ScheduleColumns): Promise<number> {
  return resolveLocalTime(time, timezone ?? COLUMN_DEFAULTS.timezone, await databaseNow(tx), dst_gap ?? "next_valid");
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

async function dependencyIds(tx: Tx, idsOrNames: readonly string[]): Promise<string[]> {
  const names = idsOrNames.filter((text) => !UUID.test(text));
  const ids = await scheduleIdsByName(tx, names);
  const errors: FieldError[] = [];
  const found = idsOrNames.map((text, index) => {
    const id = UUID.test(text) ? text.toLowerCase() : ids.get(text);
    if (id === undefined) {
      errors.push({ field: `depends_on.${index}`, message: `there is no schedule ${JSON.stringify(text)}` });
    }
    return id ?? "";
  });
  if (errors.length > 0) throw new InvalidInput(errors);
  return [...new Set(found)];
}
