import { z } from "zod";
import { actionName, actionVersion, json, priority, seconds, text } from "../contracts/fields.ts";
import { PRIORITIES } from "../schedule/policy.ts";
import type { RunsApi } from "./api.ts";
import { flagQuery, labelQuery, listOf, moment, names, toLabelFilter } from "./fields.ts";
import { idKey, page, pageOf, pageQuery } from "./paging.ts";
import { idParams, requestKey, runIdIn, type Server, traceparent } from "./request.ts";
import { attemptAnswer, RUN_STATUSES, runAnswer, showAttempt, showRun, TRIGGER_TYPES } from "./run-answer.ts";
import { NOTIFICATIONS, retry } from "./schedule-body.ts";

const tags = ["runs"];

export const runFilter = {
  status: listOf(z.enum(RUN_STATUSES)).optional(),
  status_reason: listOf(text(1, 50)).optional(),
  action: names.optional(),
  trigger_type: listOf(z.enum(TRIGGER_TYPES)).optional(),
  priority: listOf(priority).optional(),
  pool: names.optional(),
  target: text(1, 1_024).optional(),
  children: flagQuery.describe("true: child runs too; otherwise only their parents"),
  from: moment.optional().describe("nominal instants from this one on"),
  to: moment.optional().describe("nominal instants before this one"),
  text: text(1, 200).optional().describe("found in schedule name, target or error message"),
  ...labelQuery,
};

/** What a query asks for, as it is handed on. */
export function toRunFilter<Query extends z.output<z.ZodObject<typeof runFilter>>>({
  label,
  priority,
  ...rest
}: Query) {
  return { ...rest, ...toLabelFilter(label), priority: priority?.map((name) => PRIORITIES[name]) };
}

const newRun = z
  .strictObject({
    action: actionName,
    action_version: actionVersion.nullish().describe("The latest unless given"),
    payload: json.optional().describe("As the action's contract says; {} unless given"),
    targets: z.array(text(1, 1_024)).nullish().describe("One child run for each; 10,000 at most"),
    priority: priority.nullish(),
    pool: text(1, 255).nullish(),
    retry: retry.nullish(),
    timeout_seconds: seconds.min(1).nullish(),
    heartbeat_seconds: seconds.nullish(),
    start_deadline_seconds: seconds.min(1).nullish(),
    notify_on: z.array(z.enum(NOTIFICATIONS)).max(5).nullish(),
  })
  .meta({ id: "NewRun" });

const runDetail = runAnswer
  .extend({ attempts: z.array(attemptAnswer).describe("Earlier attempts, each followed by another") })
  .meta({ id: "RunDetail" });

/** Running an action, and finding runs. */
export function runRoutes(server: Server, api: RunsApi): void {
  server.post(
    "/v1/runs",
    {
      config: { scope: "trigger" },
      schema: { tags, summary: "Run an action now, without a schedule", body: newRun, response: { 201: runAnswer } },
    },
    async (request, reply) => {
      const action = { ...toAction(request.body), traceparent: traceparent(request) };
      const { run, repeated } = await api.runAction(action, requestKey(request), request.actor);
      reply.code(201).header("location", `/v1/runs/${run.id}`);
      if (repeated) reply.header("idempotent-replayed", "true");
      return showRun(run);
    },
  );

  server.get(
    "/v1/runs",
    {
      schema: {
        tags,
        summary: "List runs, newest first",
        querystring: z.strictObject({
          ...runFilter,
          schedule: text(1, 255).optional().describe("id or name"),
          ...pageQuery,
        }),
        response: { 200: pageOf(runAnswer) },
      },
    },
    (request) => {
      const { limit, cursor, ...query } = request.query;
      const wanted = toRunFilter(query);
      return page(
        { limit, cursor },
        (key, most) => api.listRuns(wanted, { before: idKey(key), limit: most }),
        (run) => run.id,
        showRun,
      );
    },
  );

  server.get(
    "/v1/runs/:id",
    { schema: { tags, summary: "A run, with its earlier attempts", params: idParams, response: { 200: runDetail } } },
    async (request) => {
      const { run, attempts } = await api.getRun(runIdIn(request));
      return { ...showRun(run), attempts: attempts.map(showAttempt) };
    },
  );

  server.post(
    "/v1/runs/:id/cancel",
    {
      config: { scope: "trigger" },
      schema: {
        tags,
        summary: "Ask for a run to be cancelled",
        params: idParams,
        body: z.strictObject({ reason: text(0, 1_024).nullish() }),
        response: { 200: runAnswer },
      },
    },
    async (request) => showRun(await api.cancelRun(runIdIn(request), request.body.reason ?? null, request.actor)),
  );

  server.post(
    "/v1/runs/:id/retry",
    {
      config: { scope: "trigger" },
      schema: {
        tags,
        summary: "Start an ended run anew, as its next attempt",
        description: "Of a run with targets, the children that decided its end.",
        params: idParams,
        body: z.strictObject({ force: z.boolean().optional().describe("Also one that has completed") }),
        response: { 200: runAnswer },
      },
    },
    async (request) =>
      showRun(await api.retryRun(runIdIn(request), { force: request.body.force ?? false }, request.actor)),
  );

  server.get(
    "/v1/runs/:id/children",
    {
      schema: {
        tags,
        summary: "The runs of its targets, with counts",
        params: idParams,
        querystring: z.strictObject({ status: runFilter.status, target: runFilter.target, ...pageQuery }),
        response: {
          200: pageOf(runAnswer).extend({
            total: z.int().describe("Targets, also those whose run is still to be made"),
            by_status: z.record(z.string(), z.int()),
          }),
        },
      },
    },
    async (request) => {
      const id = runIdIn(request);
      const { limit, cursor, ...filter } = request.query;
      const counts = await api.countChildren(id);
      const children = await page(
        { limit, cursor },
        (key, most) => api.listChildren(id, filter, { before: idKey(key), limit: most }),
        (run) => run.id,
        showRun,
      );
      return { ...children, total: counts.total, by_status: { ...counts.by_status } };
    },
  );
}

function toAction(body: z.output<typeof newRun>) {
  return {
    action: body.action,
    action_version: body.action_version ?? undefined,
    payload: body.payload === undefined ? {} : body.payload,
    targets: body.targets ?? undefined,
    policy: {
      priority: body.priority == null ? null : PRIORITIES[body.priority],
      pool: body.pool,
      max_attempts: body.retry?.max_attempts,
      retry_backoff_seconds: body.retry?.backoff_seconds,
      retry_backoff_multiplier: body.retry?.multiplier,
      retry_backoff_max_seconds: body.retry?.max_backoff_seconds,
      timeout_seconds: body.timeout_seconds,
      heartbeat_seconds: body.heartbeat_seconds,
      start_deadline_seconds: body.start_deadline_seconds,
      notify_on: body.notify_on,
    },
  };
}
