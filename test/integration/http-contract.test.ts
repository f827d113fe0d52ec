import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import * as fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createApi } from "../../src/api.ts";
import type { DeadLetter } from "../../src/http/api.ts";
import type { Server } from "../../src/http/request.ts";
import { buildServer } from "../../src/http/server.ts";
import { retain } from "../../src/passes/retain.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { NotFound } from "../../src/schedule/errors.ts";
import { anything, awkwardText, fromSchema, type JsonSchema } from "../support/schema-arbitrary.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

/*
 * Every operation of the OpenAPI document, asked for in ways that it describes and in others: nothing is answered with a 5xx,
 * and every answer is one that the document describes, by status, content type and body. CONTRACT_RUNS requests for each
 * operation; CONTRACT_SEED repeats a run.
 */
const RUNS = Number(process.env.CONTRACT_RUNS ?? 10);
const SEED = Number(process.env.CONTRACT_SEED ?? 7);

interface Content {
  readonly schema: JsonSchema;
  readonly example?: unknown;
}
interface Answered {
  readonly headers?: Record<string, { readonly required?: boolean }>;
  readonly content?: Record<string, Content>;
}
interface Operation {
  readonly operationId: string;
  readonly parameters: { name: string; in: string; schema: JsonSchema }[];
  readonly requestBody?: { content: Record<string, Content> };
  readonly responses: Record<string, Answered>;
}
const document = JSON.parse(readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8")) as {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly responses: { readonly Problem: Answered } };
};
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema({ ...document, $id: "openapi" });
const validator = (schema: JsonSchema) =>
  ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')));

let service: HttpService;
let server: Server;
let known: { schedule: string; run: string; failed: string };
beforeAll(async () => {
  service = await startHttpService();
  const letter: DeadLetter = {
    id: "letter",
    queue: "test.status",
    reason: null,
    message_id: null,
    type: null,
    died_at: null,
    body: "text",
  };
  const metrics = createMetrics();
  server = await buildServer({
    api: createApi(
      { ...service.deps, metrics },
      {
        listDeadLetters: async () => [letter],
        requeueDeadLetter: async (id) => {
          if (id !== "letter") throw new NotFound("there is no such dead letter");
          return letter;
        },
        cleanUpHistory: async ({ days = 30, runs_per_schedule = 200 }) => {
          const { deleted } = await retain(
            service.deps,
            { days, audit_days: 365, runs_per_schedule, interval_ms: 0 },
            true,
          );
          return { deleted };
        },
      },
    ),
    readiness: async () => service.readiness,
    logger: service.deps.logger,
    metrics,
    version: "0",
  });
  await service.rows(
    "INSERT INTO breakers (key, action, state, threshold, cooldown_seconds) VALUES ('known', 'x', 'open', 5, 60)",
  );
});
afterAll(async () => {
  await server.close();
  await service.stop();
});

// What a request may have deleted, renamed, paused or ended is there again for the next operation.
beforeEach(async () => {
  await service.rows("DELETE FROM schedules");
  const { body } = await service.ask("PUT", "/v1/schedules/known", {
    ...scout("known"),
    labels: { team: "research" },
    triggers: { webhook: "known" },
  });
  const { body: run } = await service.ask("POST", "/v1/schedules/known/trigger");
  const failed = await service.rows<{ id: string }>(
    `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, status, completed_at, policy)
     SELECT action, action_version, trigger_type, scheduled_for, 'failed', now(), policy FROM runs WHERE id = $1 RETURNING id`,
    [run.id],
  );
  known = { schedule: body.id, run: run.id, failed: failed[0]!.id };
});

interface Asked {
  readonly id: string;
  readonly body: unknown;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** What has to be said where the document's example is about another time or another schedule. */
const BODIES: Readonly<Record<string, unknown>> = {
  postSchedulesByIdPause: {},
  postSchedulesByIdBackfill: { from: "2025-01-01T00:00:00Z", to: "2025-01-01T06:00:00Z" },
};

/** As the document's example has it. */
function exemplary({ path, operation }: (typeof operations)[number]): Asked {
  const example = Object.values(operation.requestBody?.content ?? {})[0]?.example;
  const id = operation.operationId.endsWith("Retry")
    ? known.failed
    : path.startsWith("/v1/runs")
      ? known.run
      : path.startsWith("/v1/pools")
        ? "default"
        : path.startsWith("/v1/dead-letters")
          ? "letter"
          : "known";
  const put = operation.operationId === "putSchedulesById" ? { ...(example as object), name: "known" } : undefined;
  return { id, body: BODIES[operation.operationId] ?? put ?? example, query: {}, headers: {} };
}

function requests({ operation }: (typeof operations)[number]): fc.Arbitrary<Asked> {
  const content = Object.values(operation.requestBody?.content ?? {})[0];
  const root = document as unknown as JsonSchema;
  const described = content === undefined ? fc.constant(undefined) : fromSchema(content.schema, root);
  const example = content?.example as object;
  const changed = described.map((body) => ({ ...example, ...(body as object) }));
  const body = content === undefined ? described : fc.oneof(described, changed, mutated(example), anything);
  const parameters = operation.parameters.filter((one) => one.in === "query");
  const query = fc.record(
    Object.fromEntries(
      parameters.map(({ name, schema }) => [
        name,
        fc.oneof(
          fromSchema(schema, root).map(String),
          awkwardText,
          fc.constantFrom("1", "500", "failed", "high", "2026-01-01T00:00:00Z", "a=b", "known"),
        ),
      ]),
    ),
    { requiredKeys: [] },
  );
  return fc.record({
    id: fc.oneof(
      fc.constantFrom("known", "default", known.schedule, known.run, known.failed, "letter"),
      fc.string({ unit: "binary", minLength: 1, maxLength: 30 }),
      awkwardText,
    ),
    body,
    query: parameters.length === 0 ? fc.constant({}) : query,
    headers: fc.record(
      {
        "idempotency-key": fc.constantFrom("k", "k2", "a b", "%C3%BC"),
        "if-none-match": fc.constantFrom("*", '"1"'),
        "if-match": fc.constantFrom('"1"', '"99"', "x", '"1e9"', "*", 'W/"1"'),
        "last-event-id": fc.constantFrom("", "x", "1764100000000-5:3:9", `${Date.now()}-1:1:`),
      },
      { requiredKeys: [] },
    ),
  });
}

/** The example with one of its fields gone, or something else. */
function mutated(example: object): fc.Arbitrary<unknown> {
  const fields = Object.keys(example);
  if (fields.length === 0) return fc.dictionary(fc.string(), anything, { maxKeys: 1 });
  return fc
    .tuple(fc.constantFrom(...fields), fc.option(anything, { nil: undefined }))
    .map(([field, value]) => ({ ...example, [field]: value }));
}

const encode = (text: string) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "")) || "x";

async function ask(path: string, method: string, { id, body, query, headers }: Asked) {
  const url = path.replace(/\{\w+\}/g, () => encode(id));
  const search = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
  const answer = await server.inject({
    method: method as "GET",
    url: search.length === 0 ? url : `${url}?${search.join("&")}`,
    headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    // A stream of events has no end: its beginning is looked at.
    payloadAsStream: true,
  });
  const type = String(answer.headers["content-type"] ?? "").split(";")[0]!;
  const stream = answer.stream();
  const pieces: Buffer[] = [];
  for await (const piece of stream) {
    pieces.push(piece as Buffer);
    if (type === "text/event-stream") break;
  }
  const text = Buffer.concat(pieces).toString();
  const { statusCode: status, headers: sent } = answer;
  return { status, headers: sent, type, body: type.endsWith("json") ? JSON.parse(text) : text };
}

/** Headers that mean something to a client of this operation; the others are those of every answer. */
const TELLING = ["etag", "location", "idempotent-replayed", "retry-after", "www-authenticate"];

describe("every operation, asked for as described and otherwise", () => {
  test.each(operations.map((one) => [one.operation.operationId, one] as const))("%s", async (id, one) => {
    const { path, method, operation } = one;
    const validators = new Map<string, ReturnType<typeof validator>>();
    let done = 0;
    const holds = async (asked: Asked) => {
      const answer = await ask(path, method, asked);
      const told = `${method} ${path} ${JSON.stringify(asked)} → ${answer.status} ${JSON.stringify(answer.body)}`;
      expect(answer.status, told).toBeLessThan(500);
      if (answer.status < 400) {
        done += 1;
        expect(Object.keys(operation.responses), told).toContain(String(answer.status));
      }
      const answered =
        answer.status < 400 ? operation.responses[answer.status]! : document.components.responses.Problem;
      const described = Object.entries(answered.headers ?? {}).map(
        ([name, { required }]) => [name.toLowerCase(), required] as const,
      );
      for (const name of TELLING.filter((one) => answer.headers[one] !== undefined)) {
        expect(Object.keys(Object.fromEntries(described)), told).toContain(name);
      }
      for (const [name, required] of described) if (required) expect(answer.headers[name], told).toBeDefined();
      if (answered.content === undefined) {
        expect(answer.body, told).toBe("");
        return;
      }
      expect(Object.keys(answered.content), told).toContain(answer.type);
      const key = `${answer.status < 400 ? answer.status : "problem"}`;
      const validate = validators.get(key) ?? validator(answered.content[answer.type]!.schema);
      validators.set(key, validate);
      expect(validate(answer.body), `${told}: ${JSON.stringify(validate.errors)}`).toBe(true);
      if (answer.status >= 400) expect(answer.body.status).toBe(answer.status);
    };
    await fc.assert(fc.asyncProperty(requests(one), holds), {
      numRuns: RUNS,
      seed: SEED,
      examples: [[exemplary(one)]],
    });
    expect(done, `${id}: its example is not answered as a success`).toBeGreaterThan(0);
  });
});
