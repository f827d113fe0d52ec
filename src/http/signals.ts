import { z } from "zod";
import { json } from "../contracts/fields.ts";
import { unstorableText } from "../contracts/storable.ts";
import { NotFound } from "../schedule/errors.ts";
import type { SignalsApi } from "./api.ts";
import { page, pageOf, pageQuery } from "./paging.ts";
import { requestKey, type Server, traceparent } from "./request.ts";
import type { ScheduleRecord } from "./schedule-answer.ts";

const fired = z.object({
  schedule_id: z.string(),
  schedule_name: z.string(),
  run_id: z.string().nullable(),
  status: z.string().nullable(),
  problem: z.string().nullable().describe("Why it did not fire"),
});

const triggered = z.object({
  schedule_id: z.string(),
  name: z.string(),
  state: z.string(),
  action: z.string(),
  webhook: z.string().nullable(),
  channel: z.string().nullable(),
});

function showTriggered(schedule: ScheduleRecord) {
  const { id, name, state, action, webhook_pattern, channel_pattern } = schedule;
  return { schedule_id: id, name, state, action, webhook: webhook_pattern, channel: channel_pattern };
}

/** Outside signals that fire schedules. */
export function signalRoutes(server: Server, api: SignalsApi): void {
  server.post(
    "/v1/hooks/*",
    {
      config: { scope: "trigger" },
      schema: {
        tags: ["triggers"],
        summary: "Fire the schedules whose webhook pattern matches the path",
        description:
          "Each runs with its own payload; where its action's contract has a field `event`, the body goes there. " +
          "Paused, disabled and finished schedules do not fire.",
        params: z.object({ "*": z.string() }),
        body: json.optional(),
        response: { 200: z.object({ items: z.array(fired), next_cursor: z.null() }) },
      },
    },
    async (request) => {
      const path = request.params["*"];
      if (unstorableText(path) !== null) throw new NotFound("there is no such hook");
      const signal = { body: request.body, traceparent: traceparent(request) };
      const items = await api.fireWebhook(path, signal, requestKey(request), request.actor);
      return { items: [...items], next_cursor: null };
    },
  );

  server.get(
    "/v1/triggers",
    {
      schema: {
        tags: ["triggers"],
        summary: "Schedules that webhooks and channels fire, by name",
        querystring: z.strictObject(pageQuery),
        response: { 200: pageOf(triggered) },
      },
    },
    ({ query }) =>
      page(
        query,
        (after, limit) => api.listTriggered(after ?? "", limit),
        (schedule) => schedule.name,
        showTriggered,
      ),
  );
}
