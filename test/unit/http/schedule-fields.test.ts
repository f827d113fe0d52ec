import { expect, test } from "vitest";
import { scheduleChange, toScheduleInput } from "../../../src/http/schedule-body.ts";
import { toFieldPath } from "../../../src/http/schedule-fields.ts";
import { showTiming, type TimingRecord } from "../../../src/http/timing.ts";

test.each([
  ["cron_expression", "timing.expression"],
  ["interval_seconds", "timing.every_seconds"],
  ["interval_anchor", "timing.anchor"],
  ["run_at", "timing.at"],
  ["calendar", "timing"],
  ["calendar.times", "timing.times"],
  ["timezone", "timing.timezone"],
  ["retry_backoff_multiplier", "retry.multiplier"],
  ["catchup", "catchup.policy"],
  ["webhook_pattern", "triggers.webhook"],
  ["payload.retry.max_attempts", "payload.retry.max_attempts"],
  ["payload.run_at", "payload.run_at"],
  ["targets.3", "targets.3"],
  ["name", "name"],
  ["schedules.12.cron_expression", "schedules.12.timing.expression"],
  ["schedules.12.calendar.times", "schedules.12.timing.times"],
  ["schedules.12.payload.a\nb", "schedules.12.payload.a\nb"],
])("what is said about %j is said about %j", (column, field) => {
  expect(toFieldPath(column)).toBe(field);
});

const columnsOf = (body: unknown) => toScheduleInput(scheduleChange.parse(body));

test("what a change does not name, no column is named for", () => {
  const { columns, local_time, dependencies } = columnsOf({});
  expect(Object.values(columns).filter((value) => value !== undefined)).toEqual([]);
  expect([local_time, dependencies]).toEqual([undefined, undefined]);
});

test("null asks for the default, of a group for that of all its columns", () => {
  const { columns, dependencies } = columnsOf({
    retry: null,
    triggers: null,
    catchup: null,
    depends_on: null,
    pool: null,
  });
  expect(columns).toMatchObject({
    max_attempts: null,
    retry_backoff_seconds: null,
    retry_backoff_multiplier: null,
    retry_backoff_max_seconds: null,
    webhook_pattern: null,
    channel_pattern: null,
    catchup: null,
    catchup_window_seconds: null,
    pool: null,
  });
  expect(dependencies).toEqual([]);
});

test("a payload of null is a payload", () => {
  expect(columnsOf({ payload: null }).columns.payload).toBeNull();
  expect("payload" in scheduleChange.parse({})).toBe(false);
});

const row: TimingRecord = {
  kind: "manual",
  cron_expression: null,
  interval_seconds: null,
  interval_anchor: null,
  run_at: null,
  calendar: null,
  timezone: "UTC",
  dst_gap: "next_valid",
  dst_fold: null,
  starts_at: null,
  ends_at: null,
  jitter_seconds: 0,
};

test.each<[Partial<TimingRecord>, object]>([
  [{}, { kind: "manual" }],
  [
    { kind: "event", ends_at: 0 },
    { kind: "event", ends_at: "1970-01-01T00:00:00.000Z" },
  ],
  [
    { kind: "cron", cron_expression: "@daily", dst_gap: "skip", jitter_seconds: 3 },
    { kind: "cron", expression: "@daily", timezone: "UTC", dst_gap: "skip", jitter_seconds: 3 },
  ],
  // What SQL left in columns of another kind is not shown.
  [
    { kind: "interval", interval_seconds: 5, cron_expression: "x" },
    { kind: "interval", every_seconds: 5 },
  ],
  // A broken row is shown as it is, so that it can be mended.
  [
    { kind: "once", run_at: Number.POSITIVE_INFINITY },
    { kind: "once", at: null },
  ],
  [
    { kind: "calendar", calendar: null },
    { kind: "calendar", timezone: "UTC" },
  ],
])("shows %j as %j", (columns, shown) => {
  expect(showTiming({ ...row, ...columns })).toEqual(shown);
});
