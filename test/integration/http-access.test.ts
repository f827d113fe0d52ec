import { afterEach, expect, test } from "vitest";
import type { Authenticate } from "../../src/http/access.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
afterEach(() => service.stop());

const SCOPES = { r: "read", t: "trigger", a: "admin" } as const;
const authenticate: Authenticate = (header) => {
  const scope = SCOPES[header?.replace(/^Bearer /, "") as keyof typeof SCOPES];
  return scope === undefined ? null : { name: `token-${scope}`, scope };
};
const as = (token: string) => ({ authorization: `Bearer ${token}` });

/** What needs more than `read`. Everything that changes a schedule or how runs are handed over is an administrator's. */
const TRIGGER = [
  "POST /v1/schedules/{id}/trigger",
  "POST /v1/schedules/{id}/cancel",
  "POST /v1/schedules/bulk/trigger",
  "POST /v1/schedules/bulk/cancel",
  "POST /v1/runs",
  "POST /v1/runs/{id}/cancel",
  "POST /v1/runs/{id}/retry",
  "POST /v1/hooks/{path}",
];
const OPEN = ["GET /livez", "GET /readyz"];
/** They ask with a body, and change nothing. */
const QUESTIONS = ["POST /v1/schedules/preview"];

test("every operation names its scope, and a token with less is refused before anything is looked at", async () => {
  service = await startHttpService({ authenticate });
  const document = (await service.ask("GET", "/openapi.json")).body;
  const operations = Object.entries<Record<string, { security: { bearer: string[] }[] }>>(document.paths).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, { security }]) => ({
        operation: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path: path.replaceAll(/\{\w+\}/g, "x"),
        scope: security[0]?.bearer[0] ?? "none",
      })),
  );
  expect(operations.length).toBeGreaterThan(40);
  for (const { operation, method, path, scope } of operations) {
    const asksOnly = method === "GET" || QUESTIONS.includes(operation);
    const expected = OPEN.includes(operation)
      ? "none"
      : TRIGGER.includes(operation)
        ? "trigger"
        : asksOnly
          ? "read"
          : "admin";
    expect(scope, operation).toBe(expected);
    // A body that no route takes: who may not ask is told so and nothing else.
    const ask = async (headers: Record<string, string>) => (await service.ask(method, path, "{", headers)).status;
    if (scope === "none") continue;
    expect(await ask({}), operation).toBe(401);
    if (scope !== "read") expect(await ask(as("r")), operation).toBe(403);
    if (scope === "admin") expect(await ask(as("t")), operation).toBe(403);
    if (method !== "GET") expect([400, 415, 422], operation).toContain(await ask(as("a")));
  }
  for (const path of ["/livez", "/readyz", "/docs", "/openapi.json"]) {
    expect((await service.ask("GET", path)).status, path).toBe(200);
  }
});

test("refusals say what is missing, to people and to programs", async () => {
  service = await startHttpService({ authenticate });
  const none = await service.ask("GET", "/v1/schedules");
  expect(none).toMatchObject({ status: 401, body: { detail: "a bearer token is needed" } });
  expect(none.headers["www-authenticate"]).toBe('Bearer realm="pocketwatch"');
  const wrong = await service.ask("GET", "/v1/schedules", undefined, as("wr0ng"));
  expect(wrong.status).toBe(401);
  expect(wrong.headers["www-authenticate"]).toBe('Bearer realm="pocketwatch", error="invalid_token"');
  expect(JSON.stringify(wrong)).not.toContain("wr0ng");
  const less = await service.ask("POST", "/v1/schedules", undefined, as("t"));
  expect(less.body).toMatchObject({
    status: 403,
    detail: "this needs the scope admin; the token token-trigger has trigger",
    needed_scope: "admin",
  });
  expect(less.headers["www-authenticate"]).toContain('error="insufficient_scope", scope="admin"');
  expect((await service.ask("GET", "/nope", undefined, as("a"))).status).toBe(404);
});

test("a token's name is who did it", async () => {
  service = await startHttpService({ authenticate });
  expect((await service.ask("POST", "/v1/schedules", scout("mine"), as("a"))).status).toBe(201);
  const triggered = await service.ask("POST", "/v1/schedules/mine/trigger", undefined, as("t"));
  expect(triggered.body).toMatchObject({ triggered_by: "token-trigger" });
  const audit = await service.rows("SELECT who, operation FROM audit WHERE subject = 'mine'");
  expect(audit).toEqual([{ who: "token-admin", operation: "insert" }]);
});

test("too many requests are 429 with Retry-After, per token; health answers all the same", async () => {
  service = await startHttpService({ authenticate, requests_per_minute: 5 });
  const ask = (token: string) => service.ask("GET", "/v1/pools", undefined, as(token));
  for (let asked = 0; asked < 5; asked++) expect((await ask("r")).status).toBe(200);
  const refused = await ask("r");
  expect(refused.body).toMatchObject({ status: 429, type: "https://pocketwatch.dev/problems/too-many-requests" });
  const seconds = Number(refused.headers["retry-after"]);
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThanOrEqual(60);
  expect((await ask("a")).status).toBe(200);
  expect((await service.ask("GET", "/livez")).status).toBe(200);
});

test("failed authentications are limited by address, and keep no valid token out", async () => {
  service = await startHttpService({ authenticate });
  const statuses = [];
  for (let asked = 0; asked < 62; asked++) {
    statuses.push((await service.ask("GET", "/v1/pools", undefined, as("x"))).status);
  }
  expect(statuses).toEqual([...Array(60).fill(401), 429, 429]);
  expect((await service.ask("GET", "/v1/pools", undefined, as("r"))).status).toBe(200);
});

test("without tokens pages of other sites are kept out, though they reach loopback", async () => {
  service = await startHttpService();
  const ask = async (headers: Record<string, string>) =>
    (await service.ask("GET", "/v1/pools", undefined, headers)).status;
  for (const host of ["127.0.0.1:7420", "localhost:7420", "[::1]:7420", "localhost"]) {
    expect(await ask({ host }), host).toBe(200);
    expect(await ask({ host, origin: `http://${host}` }), host).toBe(200);
    expect(await ask({ host, origin: "https://evil.example" }), host).toBe(403);
    expect(await ask({ host, origin: "null" }), host).toBe(403);
  }
  expect(await ask({ host: "rebound.example:7420", origin: "http://rebound.example:7420" })).toBe(403);
  expect(await ask({ host: "rebound.example" })).toBe(403);
});

test("a body beyond the limit is 413, whatever it says", async () => {
  service = await startHttpService();
  const body = JSON.stringify(scout("large", { description: "x".repeat(1_048_576) }));
  const refused = await service.ask("POST", "/v1/schedules", body);
  expect(refused.body).toMatchObject({ status: 413, type: "https://pocketwatch.dev/problems/too-large" });
});

test("answers carry the headers that browsers mind, and let no other site read them", async () => {
  service = await startHttpService({ authenticate });
  for (const path of ["/livez", "/v1/pools", "/nope", "/docs"]) {
    const { headers } = await service.ask("GET", path, undefined, { origin: "https://evil.example" });
    expect(headers, path).toMatchObject({
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "cross-origin-resource-policy": "same-origin",
    });
    expect(headers["content-security-policy"], path).toContain("default-src 'none'");
    expect(Object.keys(headers).filter((name) => name.startsWith("access-control-"))).toEqual([]);
  }
  const preflight = await service.ask("OPTIONS", "/v1/schedules", undefined, {
    origin: "https://evil.example",
    "access-control-request-method": "POST",
  });
  expect(preflight.status).toBe(404);
});
