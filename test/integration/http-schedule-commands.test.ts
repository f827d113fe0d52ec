import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { actOnCancels } from "../../src/passes/cancel.ts";
import { fire } from "../../src/passes/fire.ts";
import { plan } from "../../src/passes/plan.ts";
import { releaseAll } from "../../src/passes/release.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
beforeAll(async () => {
  service = await startHttpService();
});
afterAll(() => service.stop());

async function create(name: string, more = {}) {
  const { status, body } = await service.ask("POST", "/v1/schedules", scout(name, more));
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
}
const post = (path: string, body?: unknown, headers = {}) => service.ask("POST", path, body, headers);
const runsOf = async (id: string) => (await service.ask("GET", `/v1/schedules/${id}/runs?limit=500`)).body.items;

/** At an instant of its own choosing, whatever else happens. */
async function at<T>(instant: string, work: () => Promise<T>): Promise<T> {
  service.setNow(instant);
  try {
    return await work();
  } finally {
    service.setNow(null);
  }
}

describe("trigger", () => {
  test("runs it now, moves nothing, and says where the run is", async () => {
    const schedule = await create("triggered");
    const { status, body, headers } = await post(`/v1/schedules/${schedule.id}/trigger`);
    expect(status).toBe(201);
    expect(headers.location).toBe(`/v1/runs/${body.id}`);
    expect(body).toMatchObject({
      schedule_id: schedule.id,
      schedule_name: "triggered",
      action: "scout.trigger",
      payload: schedule.payload,
      trigger_type: "manual",
      triggered_by: "anonymous",
      status: "pending",
      attempt: 1,
      priority: "normal",
      exclusive: true,
    });
    expect(body.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    const after = (await service.ask("GET", `/v1/schedules/${schedule.id}`)).body;
    expect(after).toMatchObject({
      next_run_at: schedule.next_run_at,
      last_run_id: body.id,
      last_run_status: "pending",
      run_count: 0,
      revision: 1,
    });
    expect(service.woken).toContain("dispatch");
  });

  test("takes a payload, a priority and the caller's trace", async () => {
    await create("with payload");
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const payload = { source: "elsewhere", max_strategies: 1 };
    const { body } = await post("/v1/schedules/with%20payload/trigger", { payload, priority: "high" }, { traceparent });
    expect(body).toMatchObject({ payload, priority: "high", traceparent });
    const refused = await post("/v1/schedules/with%20payload/trigger", { payload: { source: 5 } });
    expect(refused.status).toBe(422);
    expect(refused.body.errors.map((error: { field: string }) => error.field)).toContain("payload.source");
  });

  test("obeys overlap, and works while paused or disabled", async () => {
    const schedule = await create("overlapping", { enabled: false });
    await post(`/v1/schedules/${schedule.id}/pause`);
    expect((await post(`/v1/schedules/${schedule.id}/trigger`)).body.status).toBe("pending");
    const second = await post(`/v1/schedules/${schedule.id}/trigger`);
    expect(second.status).toBe(201);
    expect(second.body).toMatchObject({ status: "skipped", status_reason: "overlap" });
    const buffering = await create("buffering", { overlap: "buffer_one" });
    await post(`/v1/schedules/${buffering.id}/trigger`);
    expect((await post(`/v1/schedules/${buffering.id}/trigger`)).body).toMatchObject({
      status: "waiting",
      status_reason: "buffered",
    });
  });

  test("counts what SQL wrote a moment ago; one with a problem is a conflict", async () => {
    const schedule = await create("edited", { overlap: "allow" });
    await service.rows(`UPDATE schedules SET payload = '{"source":"new","max_strategies":1}' WHERE id = $1`, [
      schedule.id,
    ]);
    expect((await post(`/v1/schedules/${schedule.id}/trigger`)).body.payload.source).toBe("new");
    await service.rows("UPDATE schedules SET cron_expression = 'x' WHERE id = $1", [schedule.id]);
    const refused = await post(`/v1/schedules/${schedule.id}/trigger`);
    expect(refused.status).toBe(409);
    expect(refused.body.state).toMatchObject({ state: "problem" });
    await plan(service.deps);
    expect((await post(`/v1/schedules/${schedule.id}/trigger`)).body.detail).toContain("cron_expression");
  });

  test("with targets makes a parent", async () => {
    const schedule = await create("parent", { targets: ["a", "b"] });
    const { body } = await post(`/v1/schedules/${schedule.id}/trigger`);
    expect(body).toMatchObject({ child_total: 2, targets: ["a", "b"], status: "pending" });
    expect(service.woken).toContain("expand");
  });

  test("an idempotency key names one run, however often and at once it is used", async () => {
    const schedule = await create("once only", { overlap: "allow" });
    const path = `/v1/schedules/${schedule.id}/trigger`;
    const headers = { "idempotency-key": "key-1" };
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(path, {}, headers)));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([201]));
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    expect(answers.filter((answer) => answer.headers["idempotent-replayed"] === "true")).toHaveLength(49);
    expect(await runsOf(schedule.id)).toHaveLength(1);

    const different = await post(path, { priority: "low" }, headers);
    expect(different.status).toBe(422);
    expect(different.body.errors[0].field).toBe("idempotency_key");
    const other = await post(path, {}, { "idempotency-key": "key-2" });
    expect(other.body.id).not.toBe(answers[0]!.body.id);
    expect((await post(path, {}, { "idempotency-key": "a b" })).status).toBe(422);
  });

  test("a request that was refused does not use up its key", async () => {
    const schedule = await create("refused first");
    const path = `/v1/schedules/${schedule.id}/trigger`;
    const headers = { "idempotency-key": "refused" };
    expect((await post(path, { payload: {} }, headers)).status).toBe(422);
    expect((await post(path, {}, headers)).status).toBe(201);
  });
});

describe("pausing", () => {
  test("until an instant, with a note; the next occurrence is after it", async () => {
    await at("2026-07-01T12:10:00Z", async () => {
      const schedule = await create("paused until");
      const { status, body } = await post(`/v1/schedules/${schedule.id}/pause`, {
        until: "2026-07-02T00:00:00Z",
        note: "holiday",
      });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        state: "paused",
        paused_at: "2026-07-01T12:10:00.000Z",
        paused_until: "2026-07-02T00:00:00.000Z",
        pause_note: "holiday",
        next_run_at: "2026-07-02T00:00:00.000Z",
        revision: 2,
      });
      const past = await post(`/v1/schedules/${schedule.id}/pause`, { until: "2026-07-01T12:00:00Z" });
      expect(past.status).toBe(422);
      expect(past.body.errors).toEqual([{ field: "until", message: "must lie in the future" }]);
      const [event] = await service.rows<{ data: object }>(
        "SELECT data FROM outbox WHERE routing_key = 'schedule.paused.v1' AND subject = $1",
        [`schedules/${schedule.id}`],
      );
      expect(event!.data).toMatchObject({ reason: "requested", note: "holiday" });
    });
  });

  test.each([
    [false, "2026-07-01T18:00:00.000Z", 0],
    [true, "2026-07-01T13:00:00.000Z", 2],
  ])("until further notice; resumed with catch_up %s", async (catch_up, next, rows) => {
    const schedule = await at("2026-07-01T12:10:00Z", () => create(`resumed ${catch_up}`));
    const paused = await at("2026-07-01T12:20:00Z", () => post(`/v1/schedules/${schedule.id}/pause`));
    expect(paused.body).toMatchObject({ state: "paused", paused_until: null, next_run_at: null });
    await at("2026-07-01T17:20:00Z", async () => {
      const resumed = await post(`/v1/schedules/${schedule.id}/resume`, { catch_up });
      expect(resumed.body).toMatchObject({ state: "active", paused_at: null, next_run_at: next });
      await fire(service.deps);
    });
    const runs = await runsOf(schedule.id);
    expect(runs).toHaveLength(rows);
    if (catch_up) {
      expect(runs.map((run: Record<string, unknown>) => [run.scheduled_for, run.status, run.status_reason])).toEqual([
        ["2026-07-01T17:00:00.000Z", "pending", null],
        ["2026-07-01T13:00:00.000Z", "skipped", "missed"],
      ]);
    }
  });

  test("resuming what is not paused changes nothing; resuming forgives failures", async () => {
    const schedule = await create("not paused");
    expect((await post(`/v1/schedules/${schedule.id}/resume`)).body.revision).toBe(1);
    await service.rows("UPDATE schedules SET consecutive_failures = 5, pause_after_failures = 5 WHERE id = $1", [
      schedule.id,
    ]);
    await post(`/v1/schedules/${schedule.id}/pause`);
    expect((await post(`/v1/schedules/${schedule.id}/resume`)).body.consecutive_failures).toBe(0);
  });
});

describe("skip-next", () => {
  test("leaves a row and moves on, however often the schedule is planned", async () => {
    await at("2026-07-01T12:10:00Z", async () => {
      const schedule = await create("skipped", { notify_on: ["skipped"] });
      const { status, body } = await post(`/v1/schedules/${schedule.id}/skip-next`);
      expect(status).toBe(201);
      expect(body).toMatchObject({
        status: "skipped",
        status_reason: "requested",
        scheduled_for: "2026-07-01T13:00:00.000Z",
        trigger_type: "scheduled",
      });
      const shown = () => service.ask("GET", `/v1/schedules/${schedule.id}`);
      expect((await shown()).body).toMatchObject({ next_run_at: "2026-07-01T14:00:00.000Z", run_count: 0 });
      await service.ask("PATCH", `/v1/schedules/${schedule.id}`, { description: "x" });
      expect((await shown()).body.next_run_at).toBe("2026-07-01T14:00:00.000Z");
      await service.ask("PATCH", `/v1/schedules/${schedule.id}`, { timing: { timezone: "Europe/Berlin" } });
      expect((await shown()).body.next_run_at).toBe("2026-07-01T14:00:00.000Z");
      await post(`/v1/schedules/${schedule.id}/skip-next`);
      expect((await runsOf(schedule.id)).length).toBe(2);
      const told = await service.rows("SELECT 1 FROM outbox WHERE routing_key = 'run.skipped.v1'");
      expect(told).toHaveLength(2);
    });
  });

  test("is a conflict where nothing is going to be due", async () => {
    const schedule = await create("never due", { timing: { kind: "manual" } });
    const refused = await post(`/v1/schedules/${schedule.id}/skip-next`);
    expect(refused.status).toBe(409);
    expect(refused.body.state).toEqual({ state: "active" });
  });
});

describe("backfill", () => {
  const span = { from: "2026-06-30T00:00:00Z", to: "2026-06-30T23:00:00Z" };

  test("runs what has no run, oldest first, one after the other; a second call adds nothing", async () => {
    await at("2026-07-01T12:10:00Z", async () => {
      const schedule = await create("backfilled");
      const path = `/v1/schedules/${schedule.id}/backfill`;
      const dry = await post(path, { ...span, dry_run: true });
      expect(dry.body).toMatchObject({ dry_run: true, created: 24, existing: 0 });
      expect(dry.body.occurrences[0]).toBe("2026-06-30T00:00:00.000Z");
      expect(await runsOf(schedule.id)).toHaveLength(0);

      const done = await post(path, span);
      expect(done.body).toMatchObject({ dry_run: false, created: 24, existing: 0 });
      const runs = await runsOf(schedule.id);
      expect(runs.at(-1)).toMatchObject({
        trigger_type: "backfill",
        status: "pending",
        scheduled_for: "2026-06-30T00:00:00.000Z",
      });
      expect(runs.filter((run: { status: string }) => run.status === "waiting")).toHaveLength(23);
      expect((await post(path, span)).body).toMatchObject({ created: 0, existing: 24 });
      expect((await service.ask("GET", `/v1/schedules/${schedule.id}`)).body.run_count).toBe(0);
    });
  });

  test("takes missed occurrences, and leaves alone what ran and what is about to", async () => {
    const schedule = await at("2026-07-01T00:10:00Z", () => create("missed", { overlap: "allow" }));
    // Ten hours of outage: the latest runs, nine are one row that says they were missed.
    await at("2026-07-01T10:30:00Z", () => fire(service.deps));
    await at("2026-07-01T11:05:00Z", async () => {
      const answer = await post(`/v1/schedules/${schedule.id}/backfill`, {
        from: "2026-07-01T00:00:00Z",
        to: "2026-07-01T11:05:00Z",
      });
      // 00:00 and 01:00 to 09:00; 10:00 ran, 11:00 is due.
      expect(answer.body).toMatchObject({ created: 10, existing: 2 });
    });
  });

  test("refuses the future, the reverse and too much", async () => {
    const schedule = await create("too much", { timing: { kind: "cron", expression: "* * * * *" } });
    const refuse = async (body: object) => {
      const refused = await post(`/v1/schedules/${schedule.id}/backfill`, body);
      expect(refused.status).toBe(422);
      return refused.body.errors[0].field;
    };
    expect(await refuse({ from: "2026-01-01T00:00:00Z", to: "2199-01-01T00:00:00Z" })).toBe("to");
    expect(await refuse({ from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" })).toBe("to");
    expect(await refuse({ from: "2025-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z" })).toBe("to");
    expect(await refuse({ to: "2026-01-01T00:00:00Z" })).toBe("from");
  });
});

describe("looking ahead", () => {
  test("previews a timing", async () => {
    const { status, body } = await post("/v1/schedules/preview", {
      timing: { kind: "cron", expression: "30 2 * * *", timezone: "Europe/Berlin" },
      after: "2026-03-27T12:00:00Z",
      count: 3,
    });
    expect(status).toBe(200);
    expect(body).toEqual({
      occurrences: ["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"],
      dst: [{ at: "2026-03-29T01:00:00.000Z", effect: "gap" }],
    });
  });

  test("previews a change: what appears and what vanishes", async () => {
    const schedule = await create("to change", { timing: { kind: "cron", expression: "0 */6 * * *" } });
    const { body } = await post("/v1/schedules/preview", {
      timing: { expression: "0 */8 * * *" },
      schedule: schedule.id,
      after: "2026-07-01T00:00:00Z",
      count: 3,
    });
    expect(body).toEqual({
      occurrences: ["2026-07-01T08:00:00.000Z", "2026-07-01T16:00:00.000Z", "2026-07-02T00:00:00.000Z"],
      dst: [],
      appear: ["2026-07-01T08:00:00.000Z", "2026-07-01T16:00:00.000Z"],
      vanish: ["2026-07-01T06:00:00.000Z", "2026-07-01T12:00:00.000Z", "2026-07-01T18:00:00.000Z"],
    });
    expect((await service.ask("GET", `/v1/schedules/${schedule.id}`)).body).toEqual(schedule);
  });

  test.each([
    [{ timing: { kind: "cron", expression: "x" } }, "timing.expression"],
    [{ timing: { expression: "@daily" } }, "timing.kind"],
    [{ timing: { kind: "cron", expression: "@daily" }, count: 1_001 }, "count"],
    [{ timing: { kind: "cron", expression: "@daily" }, after: "soon" }, "after"],
    [{}, "timing"],
  ])("refuses %j", async (body, field) => {
    const refused = await post("/v1/schedules/preview", body);
    expect(refused.status).toBe(422);
    expect(refused.body.errors[0].field).toBe(field);
  });

  test("says when a schedule is due next, with its limits", async () => {
    await at("2026-07-01T12:10:00Z", async () => {
      const schedule = await create("upcoming", { max_runs: 2 });
      const { body } = await service.ask("GET", `/v1/schedules/${schedule.id}/upcoming?count=5`);
      expect(body).toEqual({ occurrences: ["2026-07-01T13:00:00.000Z", "2026-07-01T14:00:00.000Z"], dst: [] });
      await post(`/v1/schedules/${schedule.id}/pause`, {});
      expect((await service.ask("GET", `/v1/schedules/${schedule.id}/upcoming`)).body.occurrences).toEqual([]);
    });
  });
});

describe("bulk", () => {
  test("pauses, triggers, cancels and resumes by label; a dry run does nothing", async () => {
    const labels = { group: "bulk" };
    const [first, second] = [await create("bulk 1", { labels }), await create("bulk 2", { labels })];
    await create("bulk 3", { labels: { group: "other" } });
    await service.rows("UPDATE schedules SET cron_expression = 'x' WHERE id = $1", [second.id]);
    await plan(service.deps);

    const dry = await post("/v1/schedules/bulk/pause", { labels, dry_run: true });
    expect(dry.body).toMatchObject({ dry_run: true, matched: 2 });
    expect((await service.ask("GET", "/v1/schedules/bulk%201")).body.state).toBe("active");

    const triggered = await post("/v1/schedules/bulk/trigger", { labels });
    expect(triggered.status).toBe(200);
    const item = (id: string) => triggered.body.items.find((one: { schedule_id: string }) => one.schedule_id === id);
    expect(item(first.id)).toMatchObject({ name: "bulk 1", problem: null, run_id: expect.any(String) });
    expect(item(second.id)).toMatchObject({ name: "bulk 2", run_id: null, problem: expect.stringContaining("cron") });

    const cancelled = await post("/v1/schedules/bulk/cancel", { labels });
    expect(cancelled.body.items.map((one: { cancelling: number }) => one.cancelling).sort()).toEqual([0, 1]);
    await actOnCancels(service.deps);
    expect((await service.ask("GET", `/v1/runs/${item(first.id).run_id}`)).body.status).toBe("cancelled");

    const paused = await post("/v1/schedules/bulk/pause", { labels, note: "all" });
    expect(paused.body.matched).toBe(2);
    expect((await service.ask("GET", "/v1/schedules?label=group=bulk&state=paused")).body.items).toHaveLength(1);
    await post("/v1/schedules/bulk/resume", { labels });
    expect((await service.ask("GET", "/v1/schedules/bulk%201")).body.state).toBe("active");
    expect((await post("/v1/schedules/bulk/pause", { labels: {} })).status).toBe(422);
    expect((await post("/v1/schedules/bulk/pause", {})).body.errors[0].field).toBe("labels");
  });
});

test("what cannot be done to one schedule of many leaves it as it was", async () => {
  const labels = { group: "half" };
  await create("half 1", { labels });
  const once = await create("half 2", { labels, timing: { kind: "once", at: "2198-12-31T00:00:00Z" } });
  const { body } = await post("/v1/schedules/bulk/pause", { labels, until: "2199-06-01T00:00:00Z" });
  expect(body.items).toMatchObject([
    { name: "half 1", problem: null },
    { name: "half 2", problem: expect.stringContaining("within the pause") },
  ]);
  expect((await service.ask("GET", `/v1/schedules/${once.id}`)).body).toEqual(once);
  expect((await service.ask("GET", "/v1/schedules/half%201")).body.state).toBe("paused");
});

describe("signals", () => {
  test("a webhook fires the schedules whose pattern matches, and only the active ones", async () => {
    const timing = { kind: "event" };
    const one = await create("hook one", { timing, triggers: { webhook: "github/*/push" }, overlap: "allow" });
    await create("hook two", { timing, triggers: { webhook: "github/**" }, enabled: false });
    await create("hook three", { timing, triggers: { webhook: "gitlab/**" } });
    const { status, body } = await post("/v1/hooks/github/pocketwatch/push", { ref: "main" });
    expect(status).toBe(200);
    expect(body.items).toEqual([
      { schedule_id: one.id, schedule_name: "hook one", run_id: expect.any(String), status: "pending", problem: null },
      expect.objectContaining({ schedule_name: "hook two", run_id: null, problem: "the schedule is disabled" }),
    ]);
    const run = (await service.ask("GET", `/v1/runs/${body.items[0].run_id}`)).body;
    expect(run).toMatchObject({ trigger_type: "event", payload: one.payload });
    expect((await service.ask("GET", `/v1/schedules/${one.id}`)).body.run_count).toBe(1);
    expect((await post("/v1/hooks/bitbucket/x", {})).status).toBe(404);
    expect((await post("/v1/hooks/", {})).status).toBe(404);

    const key = { "idempotency-key": "hook" };
    const [a, b] = [await post("/v1/hooks/github/a/push", {}, key), await post("/v1/hooks/github/a/push", {}, key)];
    expect(a.body.items[0].run_id).toBe(b.body.items[0].run_id);

    const triggers = await service.ask("GET", "/v1/triggers");
    expect(triggers.body.items.map((item: { name: string }) => item.name)).toEqual([
      "hook one",
      "hook three",
      "hook two",
    ]);
    expect(triggers.body.items[0]).toMatchObject({ webhook: "github/*/push", channel: null, state: "active" });
  });
});

test("cancel_previous by hand flags the run in flight and waits for its end", async () => {
  const schedule = await create("replacing", { overlap: "cancel_previous" });
  const first = (await post(`/v1/schedules/${schedule.id}/trigger`)).body;
  const second = (await post(`/v1/schedules/${schedule.id}/trigger`)).body;
  expect(second.status).toBe("waiting");
  await releaseAll(service.deps);
  await actOnCancels(service.deps);
  await releaseAll(service.deps);
  expect((await service.ask("GET", `/v1/runs/${first.id}`)).body).toMatchObject({
    status: "cancelled",
    status_reason: "superseded",
  });
  expect((await service.ask("GET", `/v1/runs/${second.id}`)).body.status).toBe("pending");
});
