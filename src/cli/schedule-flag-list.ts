import { decimal, list, seconds, several, whole, wholeList } from "./option-values.ts";

/*
 * The flags that describe a schedule, as data: each says which field of the request it is. Help, parsing and the
 * request come from this one list.
 */

export interface Flag {
  readonly flags: string;
  readonly text: string;
  /** Where it goes in the request: `retry.max_attempts`. */
  readonly field: string;
  readonly read?: (text: string, before: never) => unknown;
  readonly choices?: readonly string[];
  /** An instant, or a time from now. */
  readonly moment?: true;
  /** A flag without a value stands for this one. */
  readonly value?: unknown;
}

export const TIMING: readonly Flag[] = [
  { flags: "--cron <expression>", text: 'such as "0 9 * * MON-FRI" or @daily', field: "timing.expression" },
  {
    flags: "--every <duration>",
    text: "elapsed time between occurrences",
    field: "timing.every_seconds",
    read: seconds,
  },
  { flags: "--at <when>", text: 'once: an instant, "+2h", or the next "14:30"', field: "timing.at" },
  { flags: "--calendar <times>", text: 'local times of day, such as "09:00,17:30"', field: "timing.times", read: list },
  { flags: "--days <days>", text: 'with --calendar: "monday,friday"', field: "timing.days_of_week", read: list },
  {
    flags: "--month-days <days>",
    text: 'with --calendar: "1,15,-1"; -1 is the last',
    field: "timing.days_of_month",
    read: wholeList,
  },
  { flags: "--start-day <day>", text: "with --calendar: the first day, inclusive", field: "timing.start_day" },
  { flags: "--end-day <day>", text: "with --calendar: the last day, inclusive", field: "timing.end_day" },
  { flags: "--manual", text: "only when somebody asks", field: "timing.kind", value: "manual" },
  { flags: "--on-event", text: "by --webhook, --channel or --depends-on", field: "timing.kind", value: "event" },
  { flags: "--timezone <zone>", text: "such as Europe/Berlin; UTC unless given", field: "timing.timezone" },
  { flags: "--anchor <instant>", text: "with --every: counted from here", field: "timing.anchor", moment: true },
  { flags: "--starts-at <instant>", text: "not due before", field: "timing.starts_at", moment: true },
  { flags: "--ends-at <instant>", text: "not due after", field: "timing.ends_at", moment: true },
  { flags: "--jitter <duration>", text: "spreads the dispatch", field: "timing.jitter_seconds", read: seconds },
  {
    flags: "--dst-gap <policy>",
    text: "local times that do not exist",
    field: "timing.dst_gap",
    choices: ["next_valid", "skip"],
  },
  {
    flags: "--dst-fold <policy>",
    text: "local times that come twice",
    field: "timing.dst_fold",
    choices: ["first", "second", "both"],
  },
];

export const WHAT: readonly Flag[] = [
  { flags: "--name <name>", text: "its name", field: "name" },
  { flags: "--action <action>", text: "what is to be done (pocketwatch actions)", field: "action" },
  { flags: "--action-version <version>", text: "1 unless given", field: "action_version", read: whole(1) },
  { flags: "--payload <json|@file>", text: "as the action's contract says", field: "payload" },
  { flags: "--target <target>", text: "one child run for each; may be repeated", field: "targets", read: several },
  { flags: "--description <text>", text: "for people", field: "description" },
  { flags: "--disable", text: "it is never due", field: "enabled", value: false },
  { flags: "--webhook <path>", text: "fired by POST /v1/hooks/<path>", field: "triggers.webhook" },
  { flags: "--channel <pattern>", text: "fired by messages on this channel", field: "triggers.channel" },
  { flags: "--depends-on <schedule>", text: "may be repeated", field: "depends_on", read: several },
];

export const POLICIES: readonly Flag[] = [
  {
    flags: "--overlap <policy>",
    text: "where an earlier run has not ended",
    field: "overlap",
    choices: ["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"],
  },
  {
    flags: "--catchup <policy>",
    text: "what was missed in an outage",
    field: "catchup.policy",
    choices: ["latest", "all", "skip"],
  },
  { flags: "--catchup-window <duration>", text: "how far back", field: "catchup.window_seconds", read: seconds },
  { flags: "--max-attempts <count>", text: "of one run", field: "retry.max_attempts", read: whole(1) },
  { flags: "--backoff <duration>", text: "before the second attempt", field: "retry.backoff_seconds", read: seconds },
  { flags: "--backoff-multiplier <factor>", text: "from each to the next", field: "retry.multiplier", read: decimal },
  { flags: "--max-backoff <duration>", text: "at most", field: "retry.max_backoff_seconds", read: seconds },
  { flags: "--timeout <duration>", text: "of an attempt", field: "timeout_seconds", read: seconds },
  { flags: "--heartbeat <duration>", text: "0: none", field: "heartbeat_seconds", read: seconds },
  {
    flags: "--start-deadline <duration>",
    text: "until it has to start",
    field: "start_deadline_seconds",
    read: seconds,
  },
  { flags: "--priority <priority>", text: "in its pool", field: "priority", choices: ["high", "normal", "low"] },
  { flags: "--pool <pool>", text: "which cap it counts against", field: "pool" },
  { flags: "--max-runs <count>", text: "then it is finished", field: "max_runs", read: whole(1) },
  {
    flags: "--pause-after-failures <count>",
    text: "in a row",
    field: "pause_after_failures",
    read: whole(1),
  },
  {
    flags: "--notify-on <ends>",
    text: "completed, failed, skipped, cancelled, retrying",
    field: "notify_on",
    read: list,
  },
];
