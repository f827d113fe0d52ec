import { z } from "zod";
import { text } from "../contracts/fields.ts";
import { toIso } from "../schedule/instant.ts";
import type { RunsApi, ScheduleCommandsApi } from "./api.ts";
import { answeredMoment, moment, wholeQuery } from "./fields.ts";
import { idKey, page, pageOf, pageQuery } from "./paging.ts";
import { InvalidRequest } from "./problem.ts";
import { etag, expectedRevision, idParams, nameIn, type Server } from "./request.ts";
import { runAnswer, showRun } from "./run-answer.ts";
import { runFilter, toRunFilter } from "./runs.ts";
import { scheduleAnswer, showSchedule } from "./schedule-answer.ts";
import { toScheduleInput } from "./schedule-body.ts";
import { timingChange } from "./timing.ts";

const tags = ["schedules"];

const occurrenceList = {
  occurrences: z.array(answeredMoment),
  dst: z
    .array(z.object({ at: answeredMoment, effect: z.enum(["gap", "fold"]) }))
    .describe(
      "Occurrences that a clock change touches: in a gap for a time that is not, in a fold for one that is twice",
    ),
};

export const pauseBody = {
  until: moment.nullish().describe("Absent: until somebody resumes it"),
  note: text(0, 10_000).nullish(),
};
export const resumeBody = {
  catch_up: z.boolean().optional().describe("Treat what was due meanwhile as after an outage; false unless given"),
};

/** What can be done with a schedule beside changing it, and what it will do. */
export function scheduleCommandRoutes(server: Server, api: ScheduleCommandsApi & RunsApi): void {
  server.post(
    "/v1/schedules/:id/pause",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Pause a schedule",
        params: idParams,
        body: z.strictObject(pauseBody),
        response: { 200: scheduleAnswer },
      },
    },
    async (request, reply) => {
      const input = { until: request.body.until ?? null, note: request.body.note ?? null };
      const schedule = await api.pauseSchedule(nameIn(request), input, expectedRevision(request), request.actor);
      reply.header("etag", etag(schedule));
      return showSchedule(schedule);
    },
  );

  server.post(
    "/v1/schedules/:id/resume",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "End a pause",
        params: idParams,
        body: z.strictObject(resumeBody),
        response: { 200: scheduleAnswer },
      },
    },
    async (request, reply) => {
      const input = { catch_up: request.body.catch_up ?? false };
      const schedule = await api.resumeSchedule(nameIn(request), input, expectedRevision(request), request.actor);
      reply.header("etag", etag(schedule));
      return showSchedule(schedule);
    },
  );

  server.post(
    "/v1/schedules/:id/cancel",
    {
      config: { scope: "trigger" },
      schema: {
        tags,
        summary: "Cancel its unfinished runs",
        params: idParams,
        body: z.strictObject({}),
        response: { 200: z.object({ cancelling: z.int().describe("Runs that were asked to stop now") }) },
      },
    },
    (request) => api.cancelScheduleRuns(nameIn(request), request.actor),
  );

  server.post(
    "/v1/schedules/:id/skip-next",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Skip the next occurrence, and leave its row",
        params: idParams,
        body: z.strictObject({}),
        response: { 201: runAnswer },
      },
    },
    async (request, reply) => {
      const run = await api.skipNext(nameIn(request), expectedRevision(request), request.actor);
      reply.code(201).header("location", `/v1/runs/${run.id}`);
      return showRun(run);
    },
  );

  server.post(
    "/v1/schedules/:id/backfill",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Run the occurrences of a past span that have no run",
        params: idParams,
        body: z.strictObject({
          from: moment,
          to: moment.describe("Inclusive, not in the future"),
          overlap: z.enum(["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"]).optional(),
          dry_run: z.boolean().optional(),
        }),
        response: {
          200: z.object({
            dry_run: z.boolean(),
            created: z.int().describe("Runs made, or in a dry run those that would be"),
            existing: z.int().describe("Occurrences that have a run, or are about to"),
            occurrences: z.array(answeredMoment).describe("The nominal instants of those made, oldest first"),
          }),
        },
      },
    },
    async (request) => {
      const { dry_run = false, ...span } = request.body;
      const { occurrences, existing } = await api.backfill(nameIn(request), { ...span, dry_run }, request.actor);
      return { dry_run, created: occurrences.length, existing, occurrences: occurrences.map(toIso) };
    },
  );

  server.get(
    "/v1/schedules/:id/upcoming",
    {
      schema: {
        tags,
        summary: "When it is due next",
        params: idParams,
        querystring: z.strictObject({ count: wholeQuery(1, 1_000, 10) }),
        response: { 200: z.object(occurrenceList) },
      },
    },
    async (request) => {
      const { occurrences, dst } = await api.upcoming(nameIn(request), request.query.count);
      return { occurrences: occurrences.map(toIso), dst: dst.map(({ at, effect }) => ({ at: toIso(at), effect })) };
    },
  );

  server.get(
    "/v1/schedules/:id/runs",
    {
      schema: {
        tags,
        summary: "Its runs, newest first",
        params: idParams,
        querystring: z.strictObject({ ...runFilter, ...pageQuery }),
        response: { 200: pageOf(runAnswer) },
      },
    },
    (request) => {
      const { limit, cursor, ...query } = request.query;
      const wanted = { ...toRunFilter(query), schedule: nameIn(request) };
      return page(
        { limit, cursor },
        (key, most) => api.listRuns(wanted, { before: idKey(key), limit: most }),
        (run) => run.id,
        showRun,
      );
    },
  );

  server.post(
    "/v1/schedules/preview",
    {
      schema: {
        tags,
        summary: "When a timing would be due; nothing is stored",
        body: z.strictObject({
          timing: timingChange,
          after: moment.optional().describe("Exclusive; now unless given"),
          count: z.int().min(1).max(1_000).optional().describe("10 unless given"),
          schedule: text(1, 255).optional().describe("Id or name of the schedule that this would change"),
          name: text(1, 255).optional().describe("Seeds every H of a cron expression"),
        }),
        response: {
          200: z.object({
            ...occurrenceList,
            appear: z.array(answeredMoment).optional().describe("For a change: occurrences it adds"),
            vanish: z.array(answeredMoment).optional().describe("For a change: occurrences it takes away"),
          }),
        },
      },
    },
    async (request) => {
      const { timing, count = 10, ...rest } = request.body;
      if (timing.kind === undefined && rest.schedule === undefined) {
        throw new InvalidRequest([{ field: "timing.kind", message: "is required without a schedule" }]);
      }
      const preview = await api.previewSchedule({ ...toScheduleInput({ timing }), ...rest, count });
      return {
        occurrences: preview.occurrences.map(toIso),
        dst: preview.dst.map(({ at, effect }) => ({ at: toIso(at), effect })),
        ...(preview.change === null
          ? {}
          : { appear: preview.change.appear.map(toIso), vanish: preview.change.vanish.map(toIso) }),
      };
    },
  );
}
