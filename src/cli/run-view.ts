import { fromIso, type Instant } from "../schedule/instant.ts";
import type { Run, RunDetail } from "./answers.ts";
import { showDistance, showDuration, showMomentAndDistance } from "./moments.ts";
import { colourOf } from "./paint.ts";
import { inline } from "./printable.ts";
import { explain } from "./reasons.ts";
import type { Column, Fact } from "./table.ts";

const NO_CONSUMER = "it lies in its action's queue, and no consumer of that is connected (pocketwatch actions)";

export function runColumns(now: Instant): Column<Run>[] {
  return [
    { title: "ID", value: ({ id }) => id },
    { title: "DUE", value: ({ scheduled_for }) => showDistance(scheduled_for, now) },
    { title: "STATUS", value: statusOf, colour: (run) => colourOf(run.status) },
    { title: "SCHEDULE", value: nameOf, least: 8 },
    { title: "WHY", value: whyOf, least: 12 },
  ];
}

/** Why it is where it is: in its consumer's words, else in ours. */
function whyOf(run: Run): string {
  const children = run.child_total === null ? null : childrenOf(run);
  return run.error_message ?? run.cancel_reason ?? children ?? explain(run.status, run.status_reason) ?? "";
}

/** `failed: timeout` */
export function statusOf({ status, status_reason }: Pick<Run, "status" | "status_reason">): string {
  return status_reason === null ? status : `${status}: ${status_reason}`;
}

export function nameOf({ schedule_name, action, target }: Run): string {
  const name = schedule_name ?? action;
  return target === null ? name : `${target} (${name})`;
}

/** A run that was asked for, in a line: where it is, and why it is not on its way. */
export function describeOutcome(run: Run): string {
  const why = run.status === "pending" ? null : explain(run.status, run.status_reason);
  return `${run.id} ${statusOf(run)}${why === null ? "" : ` (${why})`}\n`;
}

/** What there is to say about a run beside its status, in a line. */
export function progressOf(run: Run): string {
  const parts = [
    run.attempt > 1 ? `attempt ${run.attempt}` : null,
    run.progress !== null && run.status === "running" ? `${Math.round(run.progress)} %` : null,
    run.status === "running" ? run.progress_message : null,
    run.child_total === null ? null : childrenOf(run),
    run.error_message,
  ];
  return parts
    .filter((part) => part !== null)
    .map(inline)
    .join(" · ");
}

/** @param consumers of its action, where it waits for one; null: it does not, or nobody knows */
export function describeRun(run: RunDetail, now: Instant, consumers: number | null): Fact[] {
  const moment = (iso: string | null) => (iso === null ? null : showMomentAndDistance(iso, now));
  const error = [run.error_code, run.error_message].filter((part) => part !== null).join(": ");
  return [
    ["run", run.id, "bold"],
    ["status", statusOf(run), colourOf(run.status)],
    ["why", consumers === 0 ? NO_CONSUMER : explain(run.status, run.status_reason)],
    ["error", error || null, "red"],
    ["cancel reason", run.cancel_reason],
    ["schedule", run.schedule_name === null ? null : inline(run.schedule_name)],
    ["target", run.target],
    ["targets", run.child_total === null ? null : childrenOf(run)],
    ["parent", run.parent_run_id],
    ["action", `${run.action} v${run.action_version}`],
    ["payload", inline(run.payload)],
    ["triggered", `${run.trigger_type}${run.triggered_by === null ? "" : ` by ${inline(run.triggered_by)}`}`],
    ["due", moment(run.scheduled_for)],
    ["attempt", String(run.attempt)],
    ["priority", `${run.priority} in pool ${run.pool}`],
    ["not before", run.status === "pending" ? moment(run.available_at) : null],
    ["dispatched", moment(run.dispatched_at)],
    ["started", moment(run.started_at)],
    ["heartbeat", run.completed_at === null ? moment(run.heartbeat_at) : null],
    ["deadline", run.completed_at === null ? moment(run.deadline_at) : null],
    ["cancelling", run.completed_at === null ? moment(run.cancel_requested_at) : null],
    ["ended", run.completed_at === null ? null : `${moment(run.completed_at)}${tookOf(run)}`],
    ["progress", run.progress === null ? null : `${Math.round(run.progress)} %`],
    ["message", run.progress_message],
    ["metrics", pairs(run.metrics)],
    ["result", run.result === null || run.result === undefined ? null : inline(run.result)],
    ["worker", run.worker],
    ["trace", run.traceparent],
    ...run.attempts.map((attempt): readonly [string, string] => [
      `attempt ${attempt.attempt}`,
      [statusOf(attempt), moment(attempt.completed_at), attempt.error_message]
        .filter((part) => part !== null)
        .map((part) => inline(part))
        .join(" · "),
    ]),
  ];
}

function childrenOf(run: Run): string {
  const ends = { completed: run.child_completed, failed: run.child_failed, cancelled: run.child_cancelled };
  const counts = Object.entries({ ...ends, skipped: run.child_skipped }).flatMap(([name, count]) =>
    count ? [`${count} ${name}`] : [],
  );
  return [`${run.child_total} targets`, ...counts].join(", ");
}

export function tookOf({ started_at, completed_at }: Run): string {
  if (started_at === null || completed_at === null) return "";
  return `, took ${showDuration((fromIso(completed_at)! - fromIso(started_at)!) / 1_000)}`;
}

function pairs(metrics: Run["metrics"]): string | null {
  const shown = Object.entries(metrics ?? {}).map(([name, value]) => `${inline(name)} ${value}`);
  return shown.length === 0 ? null : shown.join(", ");
}
