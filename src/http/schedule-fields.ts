/*
 * A schedule's fields over HTTP are its columns in another arrangement. This is the one place that knows both names:
 * requests are turned into columns, and what is said about a column is said about the field.
 */

/** Column → field, where they differ. */
const FIELDS: Readonly<Record<string, string>> = {
  kind: "timing.kind",
  cron_expression: "timing.expression",
  interval_seconds: "timing.every_seconds",
  interval_anchor: "timing.anchor",
  run_at: "timing.at",
  time: "timing.time",
  timezone: "timing.timezone",
  dst_gap: "timing.dst_gap",
  dst_fold: "timing.dst_fold",
  starts_at: "timing.starts_at",
  ends_at: "timing.ends_at",
  jitter_seconds: "timing.jitter_seconds",
  calendar: "timing",
  webhook_pattern: "triggers.webhook",
  channel_pattern: "triggers.channel",
  catchup: "catchup.policy",
  catchup_window_seconds: "catchup.window_seconds",
  max_attempts: "retry.max_attempts",
  retry_backoff_seconds: "retry.backoff_seconds",
  retry_backoff_multiplier: "retry.multiplier",
  retry_backoff_max_seconds: "retry.max_backoff_seconds",
};

/** `calendar.times` → `timing.times`; in a batch `schedules.3.cron_expression` → `schedules.3.timing.expression`. */
export function toFieldPath(column: string): string {
  const [, prefix = "", rest = column] = /^(schedules\.\d+\.)(.*)$/s.exec(column) ?? [];
  const [head, ...below] = rest.split(".");
  return prefix + [FIELDS[head!] ?? head, ...below].join(".");
}
