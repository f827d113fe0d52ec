import { z } from "zod";
import { uuid } from "../contracts/fields.ts";
import type { PassReport, SchedulerApi, SchedulerRecord, SpreadRecord, StatisticsRecord } from "./api.ts";
import { answeredMoment, moment, toIsoOrNull } from "./fields.ts";
import { idParams, nameIn, type Server } from "./request.ts";
import { RUN_STATUSES } from "./run-answer.ts";

const tags = ["scheduler"];
const at = answeredMoment.nullable();

const passAnswer = z.object({
  last_run_at: at,
  last_duration_ms: z.number().nullable(),
  last_error: z.string().nullable(),
  runs: z.int(),
});

const statusAnswer = z
  .object({
    state: z.enum(["running", "drained"]),
    now: answeredMoment.describe("The database's instant, by which everything is judged"),
    oldest_overdue_at: at.describe("The nominal instant of the schedule that is overdue longest"),
    overdue: z.int(),
    to_plan: z.int(),
    waiting: z.int(),
    pending: z.int(),
    oldest_pending_at: at,
    in_flight: z.int(),
    leases: z.object({ count: z.int(), runs: z.int(), expired: z.int() }),
    outbox: z.object({ count: z.int(), oldest_at: at }),
    broker: z
      .looseObject({ publishing: z.string(), consuming: z.string(), topology_declared: z.boolean() })
      .nullable()
      .describe("As the instance that answers sees it"),
    instances: z.array(
      z.object({
        id: z.string(),
        version: z.string(),
        local: z.boolean().describe("The one that answers"),
        alive: z.boolean(),
        started_at: at,
        last_seen_at: at,
        broker: z.string(),
        passes: z.record(z.string(), passAnswer),
      }),
    ),
  })
  .meta({ id: "Scheduler" });

function showPass(report: PassReport) {
  return { ...report, last_run_at: toIsoOrNull(report.last_run_at) };
}

function showStatus(status: SchedulerRecord) {
  return {
    state: status.drained ? ("drained" as const) : ("running" as const),
    now: toIsoOrNull(status.now)!,
    oldest_overdue_at: toIsoOrNull(status.oldest_due_at),
    overdue: status.due,
    to_plan: status.to_plan,
    waiting: status.waiting,
    pending: status.pending,
    oldest_pending_at: toIsoOrNull(status.oldest_pending_at),
    in_flight: status.in_flight,
    leases: { count: status.leases, runs: status.leased_runs, expired: status.expired_leases },
    outbox: { count: status.outbox, oldest_at: toIsoOrNull(status.oldest_outbox_at) },
    broker: status.broker === null ? null : { ...status.broker },
    instances: status.instances.map((instance) => ({
      ...instance,
      started_at: toIsoOrNull(instance.started_at),
      last_seen_at: toIsoOrNull(instance.last_seen_at),
      passes: Object.fromEntries(Object.entries(instance.passes).map(([name, report]) => [name, showPass(report)])),
    })),
  };
}

/** The scheduler as a whole. */
export function schedulerRoutes(server: Server, api: SchedulerApi): void {
  const status = async () => showStatus(await api.schedulerStatus());

  server.get(
    "/v1/scheduler",
    { schema: { tags, summary: "What the scheduler has on its hands", response: { 200: statusAnswer } } },
    status,
  );

  server.post(
    "/v1/scheduler/reload",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Read the contracts again and plan schedules anew, on every instance",
        body: z.strictObject({
          schedule_ids: z.array(uuid).min(1).max(10_000).nullish().describe("Absent: all schedules"),
        }),
        response: {
          200: z
            .object({
              instance: z.string(),
              planned: z.int().describe("Schedules marked to be planned anew"),
              problems: z.array(
                z.object({ action: z.string().nullable(), schedule_id: z.string().nullable(), message: z.string() }),
              ),
            })
            .meta({ id: "Reloaded" }),
        },
      },
    },
    async ({ body, actor }) => {
      const { instance, planned, problems } = await api.requestReload(body.schedule_ids ?? null, actor);
      return { instance, planned, problems: [...problems] };
    },
  );

  for (const verb of ["drain", "resume"] as const) {
    server.post(
      `/v1/scheduler/${verb}`,
      {
        config: { scope: "admin" },
        schema: {
          tags,
          summary:
            verb === "drain"
              ? "Hand nothing more to the broker, on every instance; what is due goes on being recorded"
              : "Hand runs to the broker again",
          body: z.strictObject({}),
          response: { 200: statusAnswer },
        },
      },
      async ({ actor }) => {
        await api.drainScheduler(verb === "drain", actor);
        return status();
      },
    );
  }
}

const spread = z.object({
  count: z.int(),
  average: z.number().nullable(),
  p50: z.number().nullable(),
  p95: z.number().nullable(),
  p99: z.number().nullable(),
});

const statisticsAnswer = z
  .object({
    from: answeredMoment,
    to: answeredMoment,
    total: z.int(),
    by_status: z.record(z.string(), z.int()),
    by_reason: z.record(z.string(), z.int()),
    success_rate: z.number().nullable().describe("Completed among completed and failed, 0 to 1"),
    duration_seconds: spread.describe("From started to the end, of completed and failed runs"),
    lateness_seconds: spread.describe("From the nominal instant to the record of the run"),
  })
  .meta({ id: "Statistics" });

function showStatistics({ from, to, by_status, by_reason, duration, lateness }: StatisticsRecord) {
  const counts = Object.fromEntries(RUN_STATUSES.map((status) => [status, by_status[status] ?? 0]));
  const [completed, failed] = [counts.completed!, counts.failed!];
  return {
    from: toIsoOrNull(from)!,
    to: toIsoOrNull(to)!,
    total: Object.values(counts).reduce((sum, count) => sum + count, 0),
    by_status: counts,
    by_reason: { ...by_reason },
    success_rate: completed + failed === 0 ? null : completed / (completed + failed),
    duration_seconds: showSpread(duration),
    lateness_seconds: showSpread(lateness),
  };
}

function showSpread(spread: SpreadRecord) {
  const round = (value: number | null) => (value === null ? null : Math.round(value * 1_000) / 1_000);
  const { count, average, p50, p95, p99 } = spread;
  return { count, average: round(average), p50: round(p50), p95: round(p95), p99: round(p99) };
}

/** Figures over history, and cleaning it up. */
export function statisticsRoutes(server: Server, api: SchedulerApi): void {
  const querystring = z.strictObject({
    from: moment.optional().describe("Nominal instants from this one on; 24 hours before `to` unless given"),
    to: moment.optional().describe("Nominal instants before this one; now unless given"),
  });
  server.get(
    "/v1/stats",
    { schema: { tags: ["statistics"], summary: "Of all runs", querystring, response: { 200: statisticsAnswer } } },
    async ({ query }) => showStatistics(await api.statistics(null, query)),
  );
  server.get(
    "/v1/schedules/:id/stats",
    {
      schema: {
        tags: ["statistics"],
        summary: "Of a schedule's runs",
        params: idParams,
        querystring,
        response: { 200: statisticsAnswer },
      },
    },
    async (request) => showStatistics(await api.statistics(nameIn(request), request.query)),
  );
  server.post(
    "/v1/history/clean-up",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["statistics"],
        summary: "Delete ended runs beyond what is to be kept, now",
        body: z.strictObject({
          days: z.int().min(1).max(36_500).optional().describe("Keep those younger; as configured unless given"),
          runs_per_schedule: z
            .int()
            .min(1)
            .max(1_000_000)
            .optional()
            .describe("Keep so many; as configured unless given"),
        }),
        response: { 200: z.object({ deleted: z.int() }) },
      },
    },
    ({ body, actor }) => api.cleanUpHistory(body, actor),
  );
}
