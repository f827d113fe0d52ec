import { z } from "zod";
import { json, priority, text } from "../contracts/fields.ts";
import { PRIORITIES } from "../schedule/policy.ts";
import type { SchedulesApi } from "./api.ts";
import { labelQuery, listOf, names, toLabelFilter } from "./fields.ts";
import { page, pageOf, pageQuery } from "./paging.ts";
import {
  etag,
  expectedBefore,
  expectedRevision,
  idParams,
  nameIn,
  requestKey,
  type Server,
  traceparent,
} from "./request.ts";
import { runAnswer, showRun } from "./run-answer.ts";
import { SCHEDULE_STATES, scheduleAnswer, showSchedule } from "./schedule-answer.ts";
import { newSchedule, scheduleChange, toScheduleInput, wholeSchedule } from "./schedule-body.ts";

const tags = ["schedules"];

const filter = {
  state: listOf(z.enum(SCHEDULE_STATES)).optional(),
  kind: listOf(z.enum(["cron", "interval", "once", "calendar", "event", "manual"])).optional(),
  action: names.optional(),
  priority: listOf(priority).optional(),
  pool: names.optional(),
  text: text(1, 200).optional().describe("found in name or description"),
  ...labelQuery,
};

/** Creating, finding, changing and deleting schedules. */
export function scheduleRoutes(server: Server, api: SchedulesApi): void {
  server.post(
    "/v1/schedules",
    {
      config: { scope: "admin" },
      schema: { tags, summary: "Create a schedule", body: newSchedule, response: { 201: scheduleAnswer } },
    },
    async (request, reply) => {
      const schedule = await api.createSchedule(toScheduleInput(request.body), request.actor);
      reply.code(201).header("location", `/v1/schedules/${schedule.id}`).header("etag", etag(schedule));
      return showSchedule(schedule);
    },
  );

  server.post(
    "/v1/schedules/batch",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Create several schedules, or none of them",
        body: z.strictObject({ schedules: z.array(newSchedule).min(1).max(1_000) }),
        response: { 201: z.object({ items: z.array(scheduleAnswer) }) },
      },
    },
    async (request, reply) => {
      const inputs = request.body.schedules.map(toScheduleInput);
      const schedules = await api.createSchedules(inputs, request.actor);
      reply.code(201);
      return { items: schedules.map(showSchedule) };
    },
  );

  server.get(
    "/v1/schedules",
    {
      schema: {
        tags,
        summary: "List schedules by name",
        querystring: z.strictObject({ ...filter, ...pageQuery }),
        response: { 200: pageOf(scheduleAnswer) },
      },
    },
    (request) => {
      const { limit, cursor, label, ...rest } = request.query;
      const wanted = { ...rest, ...toLabelFilter(label), priority: rest.priority?.map((name) => PRIORITIES[name]) };
      return page(
        { limit, cursor },
        (after, most) => api.listSchedules(wanted, { after, limit: most }),
        (schedule) => schedule.name,
        showSchedule,
      );
    },
  );

  server.get(
    "/v1/schedules/:id",
    { schema: { tags, summary: "A schedule", params: idParams, response: { 200: scheduleAnswer } } },
    async (request, reply) => {
      const schedule = await api.getSchedule(nameIn(request));
      reply.header("etag", etag(schedule));
      return showSchedule(schedule);
    },
  );

  server.patch(
    "/v1/schedules/:id",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Change some fields of a schedule",
        params: idParams,
        body: scheduleChange,
        response: { 200: scheduleAnswer },
      },
    },
    async (request, reply) => {
      const input = toScheduleInput(request.body);
      const revision = expectedRevision(request);
      const schedule = await api.updateSchedule(nameIn(request), input, revision, request.actor);
      reply.header("etag", etag(schedule));
      return showSchedule(schedule);
    },
  );

  server.put(
    "/v1/schedules/:id",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Replace a schedule, or create one under this name",
        params: idParams,
        body: wholeSchedule,
        response: { 200: scheduleAnswer, 201: scheduleAnswer },
      },
    },
    async (request, reply) => {
      const input = toScheduleInput(request.body);
      const before = expectedBefore(request);
      const { schedule, created } = await api.replaceSchedule(nameIn(request), input, before, request.actor);
      if (created) reply.code(201).header("location", `/v1/schedules/${schedule.id}`);
      reply.header("etag", etag(schedule));
      return showSchedule(schedule);
    },
  );

  server.delete(
    "/v1/schedules/:id",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Delete a schedule; its history stays",
        params: idParams,
        response: { 204: z.undefined() },
      },
    },
    async (request, reply) => {
      await api.deleteSchedule(nameIn(request), expectedRevision(request), request.actor);
      reply.code(204).send();
    },
  );

  server.post(
    "/v1/schedules/:id/trigger",
    {
      config: { scope: "trigger" },
      schema: {
        tags,
        summary: "Run a schedule now",
        params: idParams,
        body: z.strictObject({
          payload: json.optional().describe("Instead of the schedule's own"),
          priority: priority.nullish(),
        }),
        response: { 201: runAnswer },
      },
    },
    async (request, reply) => {
      const input = {
        payload: request.body.payload,
        priority: request.body.priority == null ? null : PRIORITIES[request.body.priority],
        traceparent: traceparent(request),
      };
      const { run, repeated } = await api.triggerSchedule(nameIn(request), input, requestKey(request), request.actor);
      reply.code(201).header("location", `/v1/runs/${run.id}`);
      if (repeated) reply.header("idempotent-replayed", "true");
      return showRun(run);
    },
  );
}
