import { z } from "zod";
import type { BulkAction, ScheduleCommandsApi } from "./api.ts";
import { labels } from "./fields.ts";
import type { Server } from "./request.ts";
import { pauseBody, resumeBody } from "./schedule-commands.ts";

const selector = {
  labels: labels.describe("Schedules that carry all of these"),
  dry_run: z.boolean().optional().describe("Only say which schedules those are"),
};

const answer = z
  .object({
    dry_run: z.boolean(),
    matched: z.int(),
    items: z.array(
      z.object({
        schedule_id: z.string(),
        name: z.string(),
        run_id: z.string().nullable().describe("trigger: the run"),
        cancelling: z.int().nullable().describe("cancel: runs asked to stop now"),
        problem: z.string().nullable().describe("Why nothing was done"),
      }),
    ),
  })
  .meta({ id: "BulkAnswer" });

/** The same to every schedule with some labels. */
export function bulkRoutes(server: Server, api: ScheduleCommandsApi): void {
  const run = async (
    { labels: wanted, dry_run = false }: { labels: Record<string, string>; dry_run?: boolean | undefined },
    action: BulkAction,
    actor: string,
  ) => {
    const items = await api.bulk(wanted, action, dry_run, actor);
    return { dry_run, matched: items.length, items: [...items] };
  };
  const schema = { tags: ["schedules"], response: { 200: answer } };

  server.post(
    "/v1/schedules/bulk/pause",
    {
      config: { scope: "admin" },
      schema: { ...schema, summary: "Pause schedules by label", body: z.strictObject({ ...selector, ...pauseBody }) },
    },
    ({ body, actor }) => run(body, { kind: "pause", until: body.until ?? null, note: body.note ?? null }, actor),
  );
  server.post(
    "/v1/schedules/bulk/resume",
    {
      config: { scope: "admin" },
      schema: { ...schema, summary: "Resume schedules by label", body: z.strictObject({ ...selector, ...resumeBody }) },
    },
    ({ body, actor }) => run(body, { kind: "resume", catch_up: body.catch_up ?? false }, actor),
  );
  for (const kind of ["trigger", "cancel"] as const) {
    const summary =
      kind === "trigger" ? "Run schedules now, by label" : "Cancel the unfinished runs of schedules by label";
    server.post(
      `/v1/schedules/bulk/${kind}`,
      { config: { scope: "trigger" }, schema: { ...schema, summary, body: z.strictObject(selector) } },
      ({ body, actor }) => run(body, { kind }, actor),
    );
  }
}
