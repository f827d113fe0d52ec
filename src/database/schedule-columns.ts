import { type ScheduleRow, schedules } from "./schema.ts";

/** The columns that create and change a schedule; pausing has its own command, the rest is kept by the service. */
export const SCHEDULE_COLUMNS = [
  ...["name", "description", "labels", "enabled"],
  ...["action", "action_version", "payload", "targets", "webhook_pattern", "channel_pattern"],
  ...["kind", "cron_expression", "interval_seconds", "interval_anchor", "run_at", "calendar", "timezone"],
  ...["dst_gap", "dst_fold", "starts_at", "ends_at", "jitter_seconds", "max_runs"],
  ...["overlap", "catchup", "catchup_window_seconds", "max_attempts", "retry_backoff_seconds"],
  ...["retry_backoff_multiplier", "retry_backoff_max_seconds", "timeout_seconds", "heartbeat_seconds"],
  ...["start_deadline_seconds", "priority", "pool", "depends_on", "pause_after_failures", "notify_on"],
] as const satisfies readonly (keyof ScheduleRow)[];

export type ScheduleColumn = (typeof SCHEDULE_COLUMNS)[number];

/** What somebody wants some of a schedule's columns to hold. */
export type ScheduleColumns = { readonly [Column in ScheduleColumn]?: ScheduleRow[Column] };

/** What a column holds where nobody says anything: the table's own defaults, all of which are plain values. */
export const COLUMN_DEFAULTS = Object.fromEntries(
  SCHEDULE_COLUMNS.map((column) => [column, (schedules[column].default as unknown) ?? null]),
) as Required<ScheduleColumns>;

/** A value as a parameter of its column. */
export function toParameter(column: ScheduleColumn | "paused_until" | "pause_note", value: unknown): unknown {
  if (value === null) return null;
  // JSON's null is a payload like any other; SQL's NULL is none.
  return schedules[column].mapToDriverValue(value as never);
}
