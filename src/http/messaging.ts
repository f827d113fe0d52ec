import { z } from "zod";
import { text } from "../contracts/fields.ts";
import type { DeadLetter, MessagingApi } from "./api.ts";
import { answeredMoment, toIsoOrNull, wholeQuery } from "./fields.ts";
import { type Server, segmentIn } from "./request.ts";

const actionAnswer = z
  .object({
    name: z.string(),
    version: z.int(),
    title: z.string().nullable(),
    description: z.string().nullable(),
    exchange: z.string(),
    routing_key: z.string(),
    queue: z.object({
      name: z.string(),
      type: z.string(),
      messages: z.int().nullable().describe("Triggers that wait for a consumer; null: the broker cannot be asked"),
      consumers: z.int().nullable(),
    }),
    pool: z.string().nullable(),
    breaker: z.object({ key: z.string(), threshold: z.int(), cooldown_seconds: z.int() }).nullable(),
    defaults: z.looseObject({}),
    schema: z.looseObject({}).describe("JSON Schema of the payload"),
  })
  .meta({ id: "Action" });

const deadLetterAnswer = z
  .object({
    id: z.string(),
    queue: z.string().describe("The queue it was meant for"),
    reason: z.string().nullable(),
    message_id: z.string().nullable(),
    type: z.string().nullable(),
    died_at: answeredMoment.nullable(),
    body: z.unknown().describe("As JSON, or as text where it is none"),
  })
  .meta({ id: "DeadLetter" });

function showDeadLetter(letter: DeadLetter) {
  return { ...letter, died_at: toIsoOrNull(letter.died_at) };
}

/** What consumers can do, and what they could not. */
export function messagingRoutes(server: Server, api: MessagingApi): void {
  server.get(
    "/v1/actions",
    {
      schema: {
        tags: ["actions"],
        summary: "Actions with their contracts and queues",
        response: {
          200: z.object({
            items: z.array(actionAnswer),
            next_cursor: z.null(),
            problems: z
              .array(z.object({ action: z.string(), message: z.string() }))
              .describe("Contracts that cannot be used"),
          }),
        },
      },
    },
    async () => {
      const { actions, problems } = await api.listActions();
      const items = actions.map((action) => ({
        ...action,
        defaults: action.defaults as Record<string, unknown>,
        schema: action.schema as Record<string, unknown>,
      }));
      return { items, next_cursor: null, problems: [...problems] };
    },
  );

  server.get(
    "/v1/dead-letters",
    {
      schema: {
        tags: ["dead letters"],
        summary: "Messages that could not be handled",
        querystring: z.strictObject({
          queue: text(1, 255).optional().describe("Those of one queue"),
          limit: wholeQuery(1, 500, 50),
        }),
        response: { 200: z.object({ items: z.array(deadLetterAnswer), next_cursor: z.null() }) },
      },
    },
    async ({ query }) => {
      const letters = await api.listDeadLetters(query.queue ?? null, query.limit);
      return { items: letters.map(showDeadLetter), next_cursor: null };
    },
  );

  server.post(
    "/v1/dead-letters/:id/requeue",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["dead letters"],
        summary: "Hand a dead letter to its queue again",
        params: z.object({ id: z.string() }),
        body: z.strictObject({}),
        response: { 200: deadLetterAnswer },
      },
    },
    async ({ params, actor }) =>
      showDeadLetter(await api.requeueDeadLetter(segmentIn(params.id, "dead letter"), actor)),
  );
}
