import { request as httpRequest } from "node:http";
import { type AddressInfo, connect as connectTo } from "node:net";
import { text } from "node:stream/consumers";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createApi } from "../../src/api.ts";
import { connect } from "../../src/database/connection.ts";
import { EXAMPLES } from "../../src/http/examples.ts";
import { buildServer, createHttpServer } from "../../src/http/server.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
let document: Document;
let scheduleId: string;
beforeAll(async () => {
  service = await startHttpService();
  document = (await service.ask("GET", "/openapi.json")).body;
  scheduleId = (await service.ask("POST", "/v1/schedules", scout("robust"))).body.id;
});
afterAll(() => service.stop());

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: {
    readonly schemas: Record<string, object>;
    readonly responses: Operation["responses"];
  };
}
interface Operation {
  readonly operationId: string;
  readonly summary?: string;
  readonly parameters: { name: string; in: string; schema: object }[];
  readonly requestBody?: { content: Record<string, { schema: object; example?: unknown }> };
  readonly responses: Record<string, { content?: Record<string, { schema: object; example?: unknown }> }>;
}

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );

function validator() {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema({ $id: "openapi", ...document });
  return (schema: object) =>
    ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')));
}

async function listening(): Promise<number> {
  if (!service.server.server.listening) await service.server.listen({ host: "127.0.0.1", port: 0 });
  return (service.server.server.address() as AddressInfo).port;
}

describe("bad input", () => {
  const send = (method: string, path: string, payload: string, type: string | null = "application/json") =>
    service.server.inject({
      method: method as "POST",
      url: path,
      payload,
      headers: type === null ? {} : { "content-type": type },
    });

  test.each([
    ["not JSON", "{", "application/json", 400],
    ["a string instead of an object", '"x"', "application/json", 422],
    ["null", "null", "application/json", 422],
    ["an array", "[]", "application/json", 422],
    ["a number", "1", "application/json", 422],
    ["no body", "", "application/json", 422],
    ["a prototype", '{"__proto__":{"x":1},"name":"x"}', "application/json", 400],
    ["another type", "<x/>", "application/xml", 415],
    ["a form", "a=b", "application/x-www-form-urlencoded", 415],
    ["no type", '{"name":"x"}', null, 415],
    ["too much", JSON.stringify({ name: "x".repeat(1_100_000) }), "application/json", 413],
    ["deep nesting", `{"payload":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "application/json", 422],
    [
      "1e400",
      '{"name":"x","action":"scout.trigger","payload":{"max_strategies":1e400},"timing":{"kind":"manual"}}',
      "application/json",
      422,
    ],
    [
      "a NUL deep in a payload",
      '{"name":"x","action":"scout.trigger","payload":{"a":["\\u0000"]},"timing":{"kind":"manual"}}',
      "application/json",
      422,
    ],
    [
      "half a character as a key",
      '{"name":"x","action":"scout.trigger","payload":{"\\ud800":1},"timing":{"kind":"manual"}}',
      "application/json",
      422,
    ],
    ["a byte order mark", '\ufeff{"name":"x"}', "application/json", 422],
  ])("%s", async (_, body, type, status) => {
    const answer = await send("POST", "/v1/schedules", body, type);
    expect(answer.statusCode, answer.body).toBe(status);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    expect(answer.json()).toMatchObject({
      status,
      title: expect.any(String),
      detail: expect.any(String),
      instance: "/v1/schedules",
    });
  });

  test.each([
    ["GET", "/nope", 404],
    ["GET", "/v1/schedules/%zz", 400],
    ["GET", "/v1/schedules/%", 400],
    ["PATCH", "/v1/schedules", 404],
    ["GET", `/v1/schedules/${"x".repeat(3_000)}`, 404],
    ["GET", `/v1/schedules/${"x".repeat(5_000)}`, 414],
    ["GET", "/v1/runs?limit=5&limit=6", 422],
    ["GET", "/v1/runs?cursor=AAAA", 422],
    ["GET", "/v1/runs?text=%00", 422],
    ["GET", "/v1/schedules?label=%00=x", 422],
    ["GET", "/v1/schedules?label=a=b&label=a=c", 422],
    ["GET", "/v1/schedules?label=a=b&label=a=b&label=a", 200],
    ["GET", "/v1/runs?from=-271821-04-20T00:00:00Z", 422],
    ["GET", "/v1/runs?from=9999-12-31T23:59:59Z", 200],
    ["GET", "/v1/schedules/robust/upcoming?count=1001", 422],
    ["DELETE", "/v1/schedules/none", 404],
    ["GET", "/v1/schedules/robust/", 200],
  ])("%s %.60s is answered with %i", async (method, path, status) => {
    const answer = await service.ask(method, path);
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    if (status !== 200) expect(answer.body).toMatchObject({ status });
  });

  test.each([
    ["rubbish", "rubbish\r\n\r\n", 400],
    [
      "two lengths",
      "POST /v1/runs HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
      400,
    ],
    ["a header without end", `GET /livez HTTP/1.1\r\nhost: x\r\nx: ${"a".repeat(20_000)}\r\n\r\n`, 431],
  ])("what is no HTTP, %s, is told so as any other problem", async (_, sent, status) => {
    const socket = connectTo(await listening());
    socket.write(sent);
    const answer = await text(socket);
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    expect(answer).toContain("content-type: application/problem+json");
    expect(JSON.parse(answer.split("\r\n\r\n")[1]!)).toMatchObject({ status, title: expect.any(String) });
  });

  test("a body for a request that needs none may be left out, or be {}", async () => {
    const path = `/v1/schedules/${scheduleId}/resume`;
    expect((await service.ask("POST", path)).status).toBe(200);
    expect((await send("POST", path, "")).statusCode).toBe(200);
    expect((await send("POST", path, "{}")).statusCode).toBe(200);
    expect((await send("POST", path, "{}", "application/merge-patch+json; charset=utf-8")).statusCode).toBe(200);
  });

  test("what a check of the database refuses is 422, not 500", async () => {
    const { asAnswer } = await import("../../src/database/failures.ts");
    const error = await service
      .rows("INSERT INTO schedules (name, kind, action, max_runs) VALUES ('x', 'manual', 'y', -1)")
      .catch((caught: unknown) => caught);
    expect(asAnswer(error)).toMatchObject({ errors: [{ field: "max_runs" }] });
  });

  test("an error of the service itself tells the client nothing", async () => {
    const api = {
      ...createApi({ ...service.deps, metrics: createMetrics() }),
      getSchedule: () => Promise.reject(new Error("secret at /etc/passwd")),
    };
    const server = await buildServer({
      api,
      readiness: async () => service.readiness,
      logger: service.deps.logger,
      metrics: createMetrics(),
      version: "0",
    });
    const answer = await server.inject("/v1/schedules/x");
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain("secret");
    await server.close();
  });
});

describe("the document", () => {
  test("is OpenAPI 3.1 with a name, an answer and an error for every operation", () => {
    expect(document.openapi).toBe("3.1.0");
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(Object.keys(EXAMPLES).sort()).toEqual(ids.filter((id) => id !== "deleteSchedulesById").sort());
    for (const { operation, path } of operations()) {
      expect(operation.summary, path).toBeTruthy();
      expect(Object.keys(operation.responses), path).toContain("default");
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(operation.parameters.filter((one) => one.in === "path").map((one) => one.name)).toEqual(inPath);
    }
    for (const [, name] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components.schemas).toHaveProperty([name!]);
    }
  });

  test("has an example of everything that is sent or answered, which matches its schema", () => {
    const compile = validator();
    for (const { operation } of operations()) {
      const bodies = [
        operation.requestBody,
        ...Object.values({ ...operation.responses, ...document.components.responses }),
      ];
      for (const { schema, example } of bodies.flatMap((body) => Object.values(body?.content ?? {}))) {
        expect(example, operation.operationId).toBeDefined();
        const validate = compile(schema);
        expect(validate(example), `${operation.operationId}: ${JSON.stringify(validate.errors)}`).toBe(true);
      }
    }
  });

  test("is a page that needs nothing from elsewhere", async () => {
    const { status, body, headers } = await service.ask("GET", "/docs");
    expect(status).toBe(200);
    expect(headers["content-type"]).toContain("text/html");
    for (const { path } of operations()) expect(body).toContain(`<code>${path}</code>`);
    expect(body).not.toMatch(/<script|https?:\/\/(?!pocketwatch)/);
    expect(headers["content-security-policy"]).toContain("sha256-");
  });
});

test("a database that is away is 503, named, and no crash", async () => {
  const database = connect({ url: "postgres://nobody@127.0.0.1:1/none", logger: pino({ level: "silent" }) });
  const deps = { ...service.deps, database, metrics: createMetrics() };
  const server = await buildServer({
    api: createApi(deps),
    readiness: async () => ({ database: false, broker: true, migrations: false }),
    logger: service.deps.logger,
    metrics: createMetrics(),
    version: "0",
  });
  for (const [method, url] of [
    ["GET", "/v1/schedules"],
    ["GET", "/v1/scheduler"],
    ["POST", "/v1/schedules/x/trigger"],
  ] as const) {
    const answer = await server.inject({ method, url });
    expect(answer.statusCode).toBe(503);
    expect(answer.headers["retry-after"]).toBe("1");
    expect(answer.json().detail).toContain("database");
    expect(answer.body).not.toContain("nobody");
  }
  expect((await server.inject("/livez")).statusCode).toBe(200);
  expect((await server.inject("/readyz")).json().not_ready).toEqual(["database", "migrations"]);
  await server.close();
  await database.close();
});

beforeEach(async () => {
  await service.ask("PUT", "/v1/schedules/solid", { ...scout("solid"), enabled: true });
});

test("closing answers what is in hand, and takes nothing more", async () => {
  let finish = () => {};
  const slow = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let arrived = () => {};
  const inHand = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const api = createApi({ ...service.deps, metrics: createMetrics() });
  const http = await createHttpServer({
    api: {
      ...api,
      getSchedule: async (name) => {
        arrived();
        await slow;
        return api.getSchedule(name);
      },
    },
    readiness: async () => service.readiness,
    logger: service.deps.logger,
    metrics: createMetrics(),
    version: "0",
    host: "127.0.0.1",
    port: 0,
  });
  const answer = new Promise<number>((resolve, reject) => {
    httpRequest(`${http.url}/v1/schedules/solid`, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });
  await inHand;
  const closed = http.close();
  finish();
  expect(await answer).toBe(200);
  await closed;
  await expect(fetch(`${http.url}/livez`)).rejects.toThrow();
  await http.close();
});
