import { z } from "zod";
import { text } from "../contracts/fields.ts";
import type { Instant } from "../schedule/instant.ts";
import { moment, toIsoOrNull } from "./fields.ts";

const LIST = "each kind has its own fields, others are refused";

/**
 * When a schedule is due. One schema for every kind, because a change may name some fields only; which of them a kind has
 * is checked where the columns are written.
 */
export const timing = z
  .strictObject({
    kind: z.enum(["cron", "interval", "once", "calendar", "event", "manual"]),
    expression: text(1, 1_000).nullish().describe("cron: 5 or 6 fields, or @daily and friends"),
    every_seconds: z.int().min(1).max(315_576_000).nullish().describe("interval: elapsed time between occurrences"),
    anchor: moment.nullish().describe("interval: an occurrence that the others are counted from"),
    at: moment.nullish().describe("once: the instant"),
    time: text(1, 20).nullish().describe('once: a local time of day ("14:30:00"), today or else tomorrow'),
    times: z.array(text(1, 20)).max(1_440).nullish().describe('calendar: local times of day ("22:00:00")'),
    days_of_week: z.array(text(1, 20)).max(100).nullish().describe('calendar: "monday" …'),
    days_of_month: z.array(z.int().min(-31).max(31)).max(100).nullish().describe("calendar: -1 is the last"),
    start_day: text(1, 20).nullish().describe("calendar: first day, inclusive"),
    end_day: text(1, 20).nullish().describe("calendar: last day, inclusive"),
    timezone: text(1, 255).nullish().describe("cron, calendar, once with a time: an IANA zone; UTC unless given"),
    dst_gap: z.enum(["next_valid", "skip"]).nullish(),
    dst_fold: z.enum(["first", "second", "both"]).nullish(),
    starts_at: moment.nullish(),
    ends_at: moment.nullish(),
    jitter_seconds: z.int().min(0).max(86_400).nullish(),
  })
  .describe(`When a schedule is due; ${LIST}`);

export const timingChange = timing.partial().describe("Merged into the timing; another kind replaces it");

export type TimingFields = z.output<typeof timingChange>;

/** The columns that these fields name; undefined where they do not. */
export function timingColumns(fields: TimingFields) {
  const { times, days_of_week, days_of_month, start_day, end_day } = fields;
  const calendar = { times, days_of_week, days_of_month, start_day, end_day };
  const named = Object.entries(calendar).filter(([, value]) => value !== undefined);
  return {
    kind: fields.kind,
    cron_expression: fields.expression,
    interval_seconds: fields.every_seconds,
    interval_anchor: fields.anchor,
    run_at: fields.at,
    calendar: named.length === 0 ? undefined : Object.fromEntries(named),
    timezone: fields.timezone,
    dst_gap: fields.dst_gap,
    dst_fold: fields.dst_fold,
    starts_at: fields.starts_at,
    ends_at: fields.ends_at,
    jitter_seconds: fields.jitter_seconds,
  };
}

/** The columns of a timing, as far as they are shown. */
export interface TimingRecord {
  readonly kind: "cron" | "interval" | "once" | "calendar" | "event" | "manual";
  readonly cron_expression: string | null;
  readonly interval_seconds: number | null;
  readonly interval_anchor: Instant | null;
  readonly run_at: Instant | null;
  readonly calendar: unknown;
  readonly timezone: string;
  readonly dst_gap: "next_valid" | "skip";
  readonly dst_fold: "first" | "second" | "both" | null;
  readonly starts_at: Instant | null;
  readonly ends_at: Instant | null;
  readonly jitter_seconds: number;
}

/** A timing as it would be written: the fields of its kind, and of the others those that say something. */
export function showTiming(row: TimingRecord): Record<string, unknown> {
  return {
    kind: row.kind,
    ...ownFields(row),
    ...(row.starts_at === null ? {} : { starts_at: toIsoOrNull(row.starts_at) }),
    ...(row.ends_at === null ? {} : { ends_at: toIsoOrNull(row.ends_at) }),
    ...(row.jitter_seconds === 0 ? {} : { jitter_seconds: row.jitter_seconds }),
  };
}

function ownFields(row: TimingRecord): Record<string, unknown> {
  switch (row.kind) {
    case "cron":
      return { expression: row.cron_expression, ...zoneFields(row) };
    case "interval":
      return {
        every_seconds: row.interval_seconds,
        ...(row.interval_anchor === null ? {} : { anchor: toIsoOrNull(row.interval_anchor) }),
      };
    case "once":
      return { at: toIsoOrNull(row.run_at) };
    case "calendar":
      return { ...(row.calendar as object | null), ...zoneFields(row) };
    default:
      return {};
  }
}

function zoneFields(row: TimingRecord): Record<string, unknown> {
  return {
    timezone: row.timezone,
    ...(row.dst_gap === "next_valid" ? {} : { dst_gap: row.dst_gap }),
    ...(row.dst_fold === null ? {} : { dst_fold: row.dst_fold }),
  };
}
