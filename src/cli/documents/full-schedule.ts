import { fromIso, toIso } from "../../schedule/instant.ts";
import { DEFAULT_POLICY, PRIORITY_NAMES } from "../../schedule/policy.ts";
import type { Schedule } from "../answers.ts";

/*
 * A schedule as a file says it, with every gap filled and everything in one spelling, so that two of them can be
 * compared field by field: what the service has, and what a file wants.
 */

export type Document = Readonly<Record<string, unknown>>;
/** What an action's contract says about policies. */
export type ActionDefaults = Readonly<Record<string, unknown>>;

/** Those that mean nothing but "nothing said". The order is the one in which fields are written. */
export function defaultsOf(action: ActionDefaults) {
  const policy = { ...DEFAULT_POLICY, priority: PRIORITY_NAMES[DEFAULT_POLICY.priority], ...action };
  return {
    description: null,
    enabled: true,
    labels: {},
    action_version: 1,
    payload: {},
    targets: null,
    triggers: { webhook: null, channel: null },
    depends_on: [],
    overlap: policy.overlap,
    catchup: { policy: "latest", window_seconds: 86_400 },
    retry: {
      max_attempts: policy.max_attempts,
      backoff_seconds: policy.retry_backoff_seconds,
      multiplier: policy.retry_backoff_multiplier,
      max_backoff_seconds: policy.retry_backoff_max_seconds,
    },
    timeout_seconds: policy.timeout_seconds,
    heartbeat_seconds: policy.heartbeat_seconds || null,
    start_deadline_seconds: policy.start_deadline_seconds,
    priority: policy.priority,
    pool: policy.pool,
    max_runs: null,
    pause_after_failures: null,
    notify_on: ["failed"],
  } as const;
}

/** @param action the defaults of its action; of one that the service does not know there are none */
export function fullSchedule(document: Document, action: ActionDefaults = {}): Document {
  const full: Record<string, unknown> = { name: document.name, action: document.action };
  for (const [field, initial] of Object.entries(defaultsOf(action))) {
    const value = document[field];
    if (field === "payload") full[field] = value === undefined ? {} : value;
    else if (value === undefined || value === null) full[field] = initial;
    else full[field] = GROUPS.has(field) ? { ...(initial as object), ...withoutNull(value as object) } : value;
  }
  if (full.heartbeat_seconds === 0) full.heartbeat_seconds = null;
  for (const field of ["depends_on", "notify_on"]) full[field] = [...new Set(full[field] as string[])].sort();
  full.timing = fullTiming((document.timing ?? {}) as Document);
  return full;
}

const GROUPS = new Set(["triggers", "catchup", "retry"]);

/** What of an answer can be written; dependencies are answered by id, and named in a file. */
export function fromAnswer(schedule: Schedule, nameOf: (id: string) => string): Document {
  const writable = ["name", "action", "timing", ...Object.keys(defaultsOf({}))];
  const document = Object.fromEntries(writable.map((field) => [field, schedule[field as keyof Schedule]]));
  // The answer says none where the action's default would come back.
  return {
    ...document,
    heartbeat_seconds: schedule.heartbeat_seconds ?? 0,
    depends_on: schedule.depends_on.map(nameOf),
  };
}

const MOMENTS = new Set(["at", "anchor", "starts_at", "ends_at"]);
const ZONED = new Set(["cron", "calendar"]);

function fullTiming(timing: Document): Document {
  const { kind } = timing;
  const full: Record<string, unknown> = ZONED.has(String(kind)) ? { kind, timezone: "UTC" } : { kind };
  for (const [field, value] of Object.entries(timing)) {
    if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const instant = MOMENTS.has(field) && typeof value === "string" ? fromIso(value) : null;
    full[field] = instant === null ? value : toIso(instant);
  }
  if (full.dst_gap === "next_valid") delete full.dst_gap;
  if (full.jitter_seconds === 0) delete full.jitter_seconds;
  // Of a single instant the zone is nothing that is kept.
  if (!ZONED.has(String(kind))) delete full.timezone;
  return full;
}

function withoutNull(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null && one !== undefined));
}
