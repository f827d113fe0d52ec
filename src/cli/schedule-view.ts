import type { Instant } from "../schedule/instant.ts";
import type { Schedule } from "./answers.ts";
import { showDuration, showMoment, showMomentAndDistance } from "./moments.ts";
import { colourOf } from "./paint.ts";
import { inline, printable } from "./printable.ts";
import type { Fact } from "./table.ts";

/** When a schedule is due, in a few words. */
export function describeTiming({ timing, triggers }: Pick<Schedule, "timing" | "triggers">): string {
  const { kind, expression, every_seconds, at, timezone } = timing;
  const zone = timezone === undefined || timezone === "UTC" ? "" : ` ${timezone}`;
  const outside = [triggers.webhook, triggers.channel].filter((pattern) => pattern !== null).join(" ");
  const also = outside === "" ? "" : ` (${outside})`;
  if (kind === "cron") return `${expression}${zone}${also}`;
  if (kind === "interval") return `every ${showDuration(Number(every_seconds))}${also}`;
  if (kind === "once") return `once ${showMoment(String(at))}${also}`;
  if (kind === "calendar") return `${describeCalendar(timing)}${zone}${also}`;
  return `${kind}${also}`;
}

function describeCalendar({ times, days_of_week, days_of_month, start_day, end_day }: Record<string, unknown>): string {
  const all = (value: unknown) => (Array.isArray(value) ? value.join(",") : "");
  const days = all(days_of_week) || (all(days_of_month) && `day ${all(days_of_month)}`) || "daily";
  const from = start_day ? ` from ${start_day}` : "";
  const until = end_day ? ` to ${end_day}` : "";
  return `${days} ${all(times)}${from}${until}`;
}

/** Everything about a schedule that is not what everybody would expect anyway. */
export function describeSchedule(schedule: Schedule, now: Instant): Fact[] {
  const moment = (iso: string | null) => (iso === null ? null : showMomentAndDistance(iso, now));
  const { timing, retry, catchup } = schedule;
  return [
    ["name", inline(schedule.name), "bold"],
    ["id", schedule.id],
    ["description", schedule.description],
    ["state", describeState(schedule, now), colourOf(schedule.state)],
    ["problem", schedule.problem, "red"],
    ["labels", pairs(schedule.labels)],
    ["action", `${schedule.action} v${schedule.action_version}`],
    ["payload", inline(schedule.payload)],
    ["targets", schedule.targets === null ? null : some(schedule.targets)],
    ["when", describeTiming(schedule)],
    ["time zone", typeof timing.timezone === "string" ? timing.timezone : null],
    ["starts", typeof timing.starts_at === "string" ? showMoment(timing.starts_at) : null],
    ["ends", typeof timing.ends_at === "string" ? showMoment(timing.ends_at) : null],
    ["jitter", typeof timing.jitter_seconds === "number" ? showDuration(timing.jitter_seconds) : null],
    ["webhook", schedule.triggers.webhook],
    ["channel", schedule.triggers.channel],
    ["depends on", schedule.depends_on.length === 0 ? null : some(schedule.depends_on)],
    ["next", moment(schedule.next_run_at) ?? "-"],
    ["last run", moment(schedule.last_run_at)],
    ["", schedule.last_run_id === null ? null : `${schedule.last_run_status ?? "?"} ${schedule.last_run_id}`],
    [
      "runs",
      `${schedule.run_count}${schedule.max_runs === null ? "" : ` of ${schedule.max_runs}`}, without those asked for`,
    ],
    ["overlap", schedule.overlap],
    ["catch-up", `${catchup.policy} within ${showDuration(catchup.window_seconds)}`],
    ["attempts", describeRetry(retry)],
    ["time limit", showDuration(schedule.timeout_seconds)],
    ["heartbeat", schedule.heartbeat_seconds === null ? null : `every ${showDuration(schedule.heartbeat_seconds)}`],
    ["start within", showDuration(schedule.start_deadline_seconds)],
    ["priority", `${schedule.priority} in pool ${schedule.pool}`],
    ["failures", describeFailures(schedule)],
    ["notify on", schedule.notify_on.join(", ") || "nothing"],
    ["revision", `${schedule.revision}, changed ${showMomentAndDistance(schedule.updated_at, now)}`],
  ];
}

function describeState({ state, paused_until, pause_note }: Schedule, now: Instant): string {
  if (state !== "paused") return state;
  const until = paused_until === null ? "until it is resumed" : `until ${showMomentAndDistance(paused_until, now)}`;
  return `paused ${until}${pause_note === null ? "" : `: ${pause_note}`}`;
}

/** Why nothing of it is to be seen, as far as its state tells: `paused until …: disk swap; next …; last due …`. */
export function describeWhereabouts(schedule: Schedule, now: Instant): string {
  const { next_run_at, last_occurrence_at, problem, state, paused_at } = schedule;
  const moment = (iso: string) => showMomentAndDistance(iso, now);
  return [
    describeState(schedule, now),
    state === "paused" && paused_at !== null ? `since ${moment(paused_at)}` : null,
    problem,
    next_run_at === null ? "nothing is going to be due" : `next ${moment(next_run_at)}`,
    last_occurrence_at === null ? "it has never been due" : `last due ${moment(last_occurrence_at)}`,
  ]
    .filter((part) => part !== null)
    .join("; ");
}

function describeRetry({ max_attempts, backoff_seconds, multiplier, max_backoff_seconds }: Schedule["retry"]): string {
  if (max_attempts === 1) return "1";
  const growth = multiplier === 1 ? "" : ` × ${multiplier} up to ${showDuration(max_backoff_seconds)}`;
  return `${max_attempts}, after ${showDuration(backoff_seconds)}${growth}`;
}

function describeFailures({ consecutive_failures, pause_after_failures }: Schedule): string | null {
  if (consecutive_failures === 0 && pause_after_failures === null) return null;
  const pause = pause_after_failures === null ? "" : `, paused after ${pause_after_failures}`;
  return `${consecutive_failures} in a row${pause}`;
}

function pairs(values: Readonly<Record<string, unknown>>): string | null {
  const shown = Object.entries(values).map(([name, value]) => `${name}=${inline(value)}`);
  return shown.length === 0 ? null : shown.join(" ");
}

const MOST_NAMED = 10;

function some(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMED).map(printable).join(", ");
  return names.length > MOST_NAMED ? `${shown} and ${names.length - MOST_NAMED} more` : shown;
}
