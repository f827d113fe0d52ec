import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { supervise } from "../../src/passes/supervise.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
beforeAll(async () => {
  service = await startHttpService();
});
afterAll(() => service.stop());

const post = (path: string, body?: unknown) => service.ask("POST", path, body);
const get = (path: string) => service.ask("GET", path);
const payload = { source: "stratninja", max_strategies: 5 };

describe("pools", () => {
  test("are made, capped, drained and resumed", async () => {
    const made = await service.ask("PUT", "/v1/pools/heavy%2Fduty", { max_in_flight: 2 });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      name: "heavy/duty",
      max_in_flight: 2,
      drained: false,
      in_flight: 0,
      idle: 2,
      waiting: { high: 0, normal: 0, low: 0, total: 0 },
    });
    await post("/v1/runs", { action: "scout.trigger", payload, pool: "heavy/duty", priority: "high" });
    await post("/v1/runs", { action: "scout.trigger", payload, pool: "heavy/duty" });
    expect((await get("/v1/pools/heavy%2Fduty")).body.waiting).toEqual({ high: 1, normal: 1, low: 0, total: 2 });
    const changed = await service.ask("PUT", "/v1/pools/heavy%2Fduty", { max_in_flight: null });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({ max_in_flight: null, idle: null });
    expect((await post("/v1/pools/heavy%2Fduty/drain")).body.drained).toBe(true);
    expect((await post("/v1/pools/heavy%2Fduty/resume")).body.drained).toBe(false);
    const names = (await get("/v1/pools?limit=500")).body.items.map((pool: { name: string }) => pool.name);
    expect(names).toContain("default");
    expect(names).toContain("heavy/duty");
    const first = await get("/v1/pools?limit=1");
    const second = await get(`/v1/pools?limit=1&cursor=${first.body.next_cursor}`);
    expect(second.body.items[0].name).toBe(names[1]);
  });

  test("bad requests are told why", async () => {
    expect((await get("/v1/pools/none")).status).toBe(404);
    expect((await post("/v1/pools/none/drain")).status).toBe(404);
    expect((await service.ask("PUT", "/v1/pools/x", {})).body.errors[0].field).toBe("max_in_flight");
    expect((await service.ask("PUT", "/v1/pools/x", { max_in_flight: -1 })).status).toBe(422);
    expect((await service.ask("PUT", `/v1/pools/${"x".repeat(256)}`, { max_in_flight: 1 })).status).toBe(422);
    expect((await service.ask("PUT", "/v1/pools/%00", { max_in_flight: 1 })).status).toBe(404);
  });
});

test("breakers are listed and reset", async () => {
  await service.rows(
    `INSERT INTO breakers (key, action, state, failures, threshold, cooldown_seconds, opened_at)
     VALUES ('crawl.run:a/b', 'crawl.run', 'open', 5, 5, 60, pocketwatch_now()), ('crawl.run:c', 'crawl.run', 'closed', 0, 5, 60, NULL)`,
  );
  expect((await get("/v1/breakers")).body.items).toHaveLength(2);
  expect((await get("/v1/breakers?state=open")).body.items).toMatchObject([
    { key: "crawl.run:a/b", held: 0, failures: 5 },
  ]);
  const reset = await post("/v1/breakers/crawl.run%3Aa%2Fb/reset");
  expect(reset.status).toBe(200);
  expect(reset.body).toMatchObject({ state: "closed", failures: 0, opened_at: null });
  expect((await post("/v1/breakers/none/reset")).status).toBe(404);
});

test("actions are listed with their contracts", async () => {
  const { status, body } = await get("/v1/actions");
  expect(status).toBe(200);
  expect(body.next_cursor).toBeNull();
  const scoutAction = body.items.find((action: { name: string }) => action.name === "scout.trigger");
  expect(scoutAction).toMatchObject({
    version: 1,
    exchange: "test.triggers",
    routing_key: "scout.trigger.v1",
    queue: { name: "test.work.scout.trigger.v1", type: "quorum", messages: null, consumers: null },
  });
  expect(scoutAction.schema.properties).toHaveProperty("source");
});

test("dead letters and clean-up need a running instance", async () => {
  expect((await get("/v1/dead-letters")).status).toBe(503);
  expect((await post("/v1/history/clean-up", {})).status).toBe(503);
});

describe("the scheduler", () => {
  test("says what it has on its hands, per instance too", async () => {
    const passes = { fire: { last_run_at: 1_700_000_000_000, last_duration_ms: 1.5, last_error: null, runs: 3 } };
    await supervise(service.deps, { id: "other", version: "9.9.9", broker: "ready", passes });
    const { status, body } = await get("/v1/scheduler");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      state: "running",
      oldest_overdue_at: null,
      overdue: 0,
      leases: { count: 0, runs: 0, expired: 0 },
      outbox: { count: 0, oldest_at: null },
      broker: null,
      instances: [
        {
          id: "other",
          version: "9.9.9",
          local: false,
          alive: true,
          broker: "ready",
          passes: {
            fire: { last_run_at: "2023-11-14T22:13:20.000Z", last_duration_ms: 1.5, last_error: null, runs: 3 },
          },
        },
      ],
    });
    expect(body.pending).toBeGreaterThan(0);
  });

  test("counts what is overdue", async () => {
    service.setNow("2026-07-01T12:10:00Z");
    await post("/v1/schedules", scout("overdue"));
    service.setNow("2026-07-01T13:10:00Z");
    expect((await get("/v1/scheduler")).body).toMatchObject({
      now: "2026-07-01T13:10:00.000Z",
      oldest_overdue_at: "2026-07-01T13:00:00.000Z",
      overdue: 1,
    });
    service.setNow(null);
  });

  test("is drained and resumed", async () => {
    expect((await post("/v1/scheduler/drain")).body.state).toBe("drained");
    expect((await get("/v1/scheduler")).body.state).toBe("drained");
    expect((await post("/v1/scheduler/resume")).body.state).toBe("running");
  });

  test("reloads, tells every instance and says what is wrong", async () => {
    const unknown = "0199e1aa-0000-7000-8000-000000000001";
    const { body: schedule } = await post("/v1/schedules", scout("reloaded"));
    const { status, body } = await post("/v1/scheduler/reload", { schedule_ids: [schedule.id, unknown] });
    expect(status).toBe(200);
    expect(body).toEqual({
      instance: "test-1",
      planned: 1,
      problems: [{ action: null, schedule_id: unknown, message: "there is no such schedule" }],
    });
    const [row] = await service.rows("SELECT needs_planning, revision FROM schedules WHERE id = $1", [schedule.id]);
    expect(row).toEqual({ needs_planning: true, revision: 1 });
    const sent = await service.rows(
      "SELECT exchange, routing_key FROM outbox WHERE routing_key LIKE 'schedules.%' ORDER BY 2",
    );
    expect(sent).toEqual([
      { exchange: "commands", routing_key: "schedules.reload.v1" },
      { exchange: "events", routing_key: "schedules.reloaded.v1" },
    ]);
    expect(service.woken).toContain("plan");
    expect((await post("/v1/scheduler/reload", { schedule_ids: ["x"] })).body.errors[0].field).toBe("schedule_ids.0");
    expect((await post("/v1/scheduler/reload")).body.planned).toBeGreaterThan(1);
  });
});

test("statistics count, rate and measure", async () => {
  const { body: schedule } = await post("/v1/schedules", scout("measured"));
  await service.rows(
    `INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, trigger_type, scheduled_for, status, status_reason,
       created_at, started_at, completed_at)
     SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || lpad(to_hex(n), 16, '0'))::uuid, $1,
       'measured', 'scout.trigger', 1, 'scheduled', at, CASE WHEN n <= 8 THEN 'completed' WHEN n = 9 THEN 'failed' ELSE 'skipped' END,
       CASE WHEN n = 9 THEN 'timeout' WHEN n = 10 THEN 'overlap' END,
       at + interval '10 ms', CASE WHEN n < 10 THEN at END, at + n * interval '1 second'
     FROM generate_series(1, 10) AS n, LATERAL (SELECT timestamptz '2026-05-01T00:00:00Z' + n * interval '1 minute' AS at) AS a`,
    [schedule.id],
  );
  const window = "from=2026-05-01T00:00:00Z&to=2026-05-02T00:00:00Z";
  const { status, body } = await get(`/v1/schedules/${schedule.id}/stats?${window}`);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    from: "2026-05-01T00:00:00.000Z",
    to: "2026-05-02T00:00:00.000Z",
    total: 10,
    by_status: { completed: 8, failed: 1, skipped: 1, running: 0 },
    by_reason: { timeout: 1, overlap: 1 },
    duration_seconds: { count: 9, average: 5, p50: 5 },
    lateness_seconds: { count: 9, average: 0.01, p99: 0.01 },
  });
  expect(body.success_rate).toBeCloseTo(8 / 9);
  expect((await get(`/v1/stats?${window}`)).body.total).toBe(10);
  expect((await get("/v1/stats?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z")).body).toMatchObject({
    total: 0,
    success_rate: null,
    duration_seconds: { count: 0, average: null, p50: null },
  });
  expect((await get("/v1/stats?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z")).status).toBe(422);
  expect((await get("/v1/schedules/none/stats")).status).toBe(404);
});

describe("health", () => {
  test("alive, ready, or not and why", async () => {
    expect(await get("/livez")).toMatchObject({ status: 200, body: { status: "alive" } });
    expect((await get("/readyz")).status).toBe(200);
    service.readiness = { database: true, broker: false, migrations: false };
    const { status, body } = await get("/readyz");
    service.readiness = { database: true, broker: true, migrations: true };
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: 503, not_ready: ["broker", "migrations"], broker: false, database: true });
  });

  test("figures for Prometheus", async () => {
    const { status, body, headers } = await get("/metrics");
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch(/^text\/plain/);
    expect(body).toContain("pocketwatch_http_request_duration_seconds");
    expect(body).toContain("# TYPE pocketwatch_runs_created_total counter");
    expect(body).toMatch(/^pocketwatch_schedules\{state="active"\} \d+$/m);
    expect(body).toMatch(/^pocketwatch_pool_busy\{pool="default"\} 0$/m);
    expect(body).toMatch(/^pocketwatch_pool_pending\{pool="heavy\/duty",priority="high"\} 1$/m);
    expect(body).toMatch(/^pocketwatch_runs_open\{status="pending"\} \d+$/m);
    expect(body).toMatch(/^pocketwatch_breakers\{state="closed"\} 2$/m);
  });

  test("headers protect whoever looks at it with a browser, and no other site may read it", async () => {
    const { headers } = await service.ask("GET", "/v1/pools", undefined, { origin: "https://elsewhere.example" });
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "cache-control": "no-store",
    });
    expect(headers).not.toHaveProperty("access-control-allow-origin");
  });
});
