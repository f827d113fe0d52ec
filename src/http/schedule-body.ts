import { z } from "zod";
import { actionName, actionVersion, json, priority, seconds, text } from "../contracts/fields.ts";
import { PRIORITIES } from "../schedule/policy.ts";
import { labels } from "./fields.ts";
import { timing, timingChange, timingColumns } from "./timing.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const scheduleName = text(1, 255)
  .refine((name) => !UUID.test(name), { error: "must not look like an id" })
  // No client sends these in an address as they are.
  .refine((name) => name !== "." && name !== "..", { error: "must not be . or .." })
  .meta({ minLength: 1, maxLength: 255 });

const SEGMENT = /^(\*\*?|[^/*\s]+)$/;
const webhook = text(1, 500).refine(
  (pattern) => {
    const segments = pattern.replace(/^\//, "").split("/");
    return segments.every(
      (segment, index) => SEGMENT.test(segment) && (segment !== "**" || index === segments.length - 1),
    );
  },
  { error: 'must be a path such as "github/*/push": * stands for one segment, ** at the end for the rest' },
);
const channel = text(1, 255).refine((pattern) => pattern.split(".").every((word) => /^([*#]|[^.*#\s]+)$/.test(word)), {
  error: 'must be a channel such as "orders.*.paid": * stands for one word, # for any number of them',
});

export const NOTIFICATIONS = ["completed", "failed", "skipped", "cancelled", "retrying"] as const;

export const retry = z.strictObject({
  max_attempts: z.int().min(1).max(1_000).nullish(),
  backoff_seconds: seconds.nullish(),
  multiplier: z.number().min(1).max(100).nullish(),
  max_backoff_seconds: seconds.nullish(),
});

const fields = {
  description: text(0, 10_000).nullish(),
  labels: labels.nullish(),
  enabled: z.boolean().nullish(),
  action_version: actionVersion.nullish().describe("1 unless given"),
  targets: z.array(text(1, 1_024)).nullish().describe("One child run for each; 10,000 at most"),
  triggers: z
    .strictObject({ webhook: webhook.nullish(), channel: channel.nullish() })
    .nullish()
    .describe("What else fires it: POST /v1/hooks/<path>, a message on the channels exchange"),
  overlap: z.enum(["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"]).nullish(),
  catchup: z
    .strictObject({ policy: z.enum(["latest", "all", "skip"]).nullish(), window_seconds: seconds.nullish() })
    .nullish(),
  retry: retry.nullish(),
  timeout_seconds: seconds.min(1).nullish(),
  heartbeat_seconds: seconds.nullish().describe("0: none, even where the action has a default"),
  start_deadline_seconds: seconds.min(1).nullish(),
  priority: priority.nullish(),
  pool: text(1, 255).nullish(),
  depends_on: z.array(text(1, 255)).max(1_000).nullish().describe("Ids or names of schedules"),
  max_runs: z.int().min(1).max(2_147_483_647).nullish(),
  pause_after_failures: z.int().min(1).max(2_147_483_647).nullish(),
  notify_on: z.array(z.enum(NOTIFICATIONS)).max(5).nullish(),
};

/** A schedule to be created. What is absent or null is left to the action, then to the service. */
export const newSchedule = z
  .strictObject({
    name: scheduleName,
    action: actionName,
    payload: json.optional().describe("As the action's contract says; {} unless given"),
    timing,
    ...fields,
  })
  .meta({ id: "NewSchedule" });

/** A schedule to be put under a name, which need not be repeated. */
export const wholeSchedule = newSchedule.partial({ name: true }).meta({ id: "WholeSchedule" });

/** What is to change. Objects are merged, null is the default, a timing of another kind replaces the old one. */
export const scheduleChange = z
  .strictObject({
    name: scheduleName.optional(),
    action: actionName.optional(),
    payload: json.optional(),
    timing: timingChange.optional(),
    ...fields,
  })
  .meta({ id: "ScheduleChange" });

type Body = z.output<typeof scheduleChange>;

/** A request as columns: undefined where it says nothing, null where it asks for the default. */
export function toScheduleInput(body: Body) {
  const part = <Part extends object>(value: Part | null | undefined, all: { [Key in keyof Part]-?: null }) =>
    value === null ? all : (value ?? ({} as Part));
  const triggers = part(body.triggers, { webhook: null, channel: null });
  const catchup = part(body.catchup, { policy: null, window_seconds: null });
  const retried = part(body.retry, {
    max_attempts: null,
    backoff_seconds: null,
    multiplier: null,
    max_backoff_seconds: null,
  });
  return {
    columns: {
      name: body.name,
      description: body.description,
      labels: body.labels,
      enabled: body.enabled,
      action: body.action,
      action_version: body.action_version,
      payload: body.payload,
      targets: body.targets,
      webhook_pattern: triggers.webhook,
      channel_pattern: triggers.channel,
      ...timingColumns(body.timing ?? {}),
      overlap: body.overlap,
      catchup: catchup.policy,
      catchup_window_seconds: catchup.window_seconds,
      max_attempts: retried.max_attempts,
      retry_backoff_seconds: retried.backoff_seconds,
      retry_backoff_multiplier: retried.multiplier,
      retry_backoff_max_seconds: retried.max_backoff_seconds,
      timeout_seconds: body.timeout_seconds,
      heartbeat_seconds: body.heartbeat_seconds,
      start_deadline_seconds: body.start_deadline_seconds,
      priority: body.priority == null ? body.priority : PRIORITIES[body.priority],
      pool: body.pool,
      max_runs: body.max_runs,
      pause_after_failures: body.pause_after_failures,
      notify_on: body.notify_on,
    },
    local_time: body.timing?.time ?? undefined,
    dependencies: body.depends_on === null ? [] : body.depends_on,
  };
}

export type ScheduleInput = ReturnType<typeof toScheduleInput>;
