import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lockRuns } from "../../src/database/run-states.ts";
import { settleRuns } from "../../src/database/settle-runs.ts";
import { actOnCancels } from "../../src/passes/cancel.ts";
import { expand } from "../../src/passes/expand.ts";
import { applyUpdate } from "../../src/schedule/run-transitions.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
beforeAll(async () => {
  service = await startHttpService();
});
afterAll(() => service.stop());

const payload = { source: "stratninja", max_strategies: 5 };
const post = (path: string, body?: unknown, headers = {}) => service.ask("POST", path, body, headers);
const get = (path: string) => service.ask("GET", path);
const action = (more = {}) => ({ action: "scout.trigger", payload, ...more });

/** As if a consumer had said so. */
async function report(id: string, status: "completed" | "failed" | "started"): Promise<void> {
  await service.database.transaction(async (tx) => {
    const [before] = await lockRuns(tx, [id]);
    const error = { message: "no luck", retryable: false };
    const update = { run_id: id, attempt: before!.attempt, sequence: 1, status, error, worker: "/test" };
    const { run } = applyUpdate(before!, update, before!.now);
    await settleRuns(tx, [{ before: before!, after: { ...before!, ...run }, archived: [] }]);
  });
}

describe("running an action without a schedule", () => {
  test("answers 201 with the whole run, policy resolved", async () => {
    const { status, body, headers } = await post("/v1/runs", action({ priority: "low", retry: { max_attempts: 1 } }));
    expect(status, JSON.stringify(body)).toBe(201);
    expect(headers.location).toBe(`/v1/runs/${body.id}`);
    expect(body).toMatchObject({
      schedule_id: null,
      schedule_name: null,
      action: "scout.trigger",
      action_version: 1,
      payload,
      trigger_type: "manual",
      triggered_by: "anonymous",
      priority: "low",
      status: "pending",
      exclusive: false,
      policy: { overlap: "allow", max_attempts: 1, retry_backoff_seconds: 30, notify_on: ["failed"] },
    });
    const { body: found } = await get(`/v1/runs/${body.id}`);
    expect(found).toEqual({ ...body, attempts: [] });
  });

  test.each([
    [action({ payload: {} }), ["payload.max_strategies", "payload.source"]],
    [action({ action: "no.such" }), ["action"]],
    [action({ action_version: 7 }), ["action_version"]],
    [action({ pool: "none" }), ["pool"]],
    [action({ targets: ["a", "a"] }), ["targets.1"]],
    [action({ overlap: "skip" }), ["overlap"]],
    [{}, ["action"]],
  ])("refuses %j", async (body, fields) => {
    const refused = await post("/v1/runs", body);
    expect(refused.status).toBe(422);
    expect(refused.body.errors.map((error: { field: string }) => error.field).sort()).toEqual(fields);
  });

  test("one key, one run", async () => {
    const headers = { "idempotency-key": "run-1" };
    const answers = await Promise.all(Array.from({ length: 50 }, () => post("/v1/runs", action(), headers)));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    // The same request with its fields in another order is the same.
    const [{ payload: p, ...rest }] = [action()];
    expect((await post("/v1/runs", { payload: p, ...rest }, headers)).body.id).toBe(answers[0]!.body.id);
    expect((await post("/v1/runs", action({ priority: "high" }), headers)).status).toBe(422);
  });
});

describe("finding runs", () => {
  test("newest first, a page at a time, filtered", async () => {
    const schedule = (
      await post("/v1/schedules", scout("filtered", { overlap: "allow", labels: { team: "x" }, priority: "high" }))
    ).body;
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) ids.push((await post(`/v1/schedules/${schedule.id}/trigger`)).body.id);
    await report(ids[0]!, "completed");
    await report(ids[1]!, "failed");

    const seen: string[] = [];
    let cursor = "";
    for (;;) {
      const { body } = await get(`/v1/runs?schedule=filtered&limit=2${cursor}`);
      seen.push(...body.items.map((run: { id: string }) => run.id));
      if (body.next_cursor === null) break;
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(seen).toEqual([...ids].sort().reverse());

    const found = async (query: string) => {
      const { status, body } = await get(`/v1/runs?${query}`);
      expect(status, JSON.stringify(body)).toBe(200);
      return body.items.map((run: { id: string }) => run.id).sort();
    };
    expect(await found("schedule=filtered&status=completed,failed")).toEqual(ids.slice(0, 2).sort());
    expect(await found(`schedule=${schedule.id}&status=failed&status_reason=error`)).toEqual([ids[1]]);
    expect(await found("label=team=x")).toEqual([...ids].sort());
    expect(await found("label=nothing")).toEqual([]);
    expect(await found("label=team=x&priority=low")).toEqual([]);
    expect(await found("text=FILTER&limit=500")).toEqual([...ids].sort());
    expect(await found("trigger_type=scheduled&schedule=filtered")).toEqual([]);
    expect(await found("schedule=filtered&from=2020-01-01T00:00:00Z&to=2199-01-01T00:00:00Z")).toEqual([...ids].sort());
    expect(await found("schedule=filtered&to=2020-01-01T00:00:00Z")).toEqual([]);
    expect((await get("/v1/runs?schedule=none")).status).toBe(404);
    expect((await get("/v1/runs?cursor=bm90IGFuIGlk")).status).toBe(422);
    expect((await get("/v1/runs?from=yesterday")).body.errors[0].field).toBe("from");
  });

  test("what is not there is a 404", async () => {
    expect((await get("/v1/runs/0199e1aa-0000-7000-8000-000000000001")).status).toBe(404);
    expect((await get("/v1/runs/latest")).status).toBe(404);
    expect((await post("/v1/runs/0199e1aa-0000-7000-8000-000000000001/cancel")).status).toBe(404);
    expect((await post("/v1/runs/0199e1aa-0000-7000-8000-000000000001/retry")).status).toBe(404);
    expect((await get("/v1/runs/0199e1aa-0000-7000-8000-000000000001/children")).status).toBe(404);
  });
});

describe("cancelling and retrying", () => {
  test("a pending run is flagged, supervise is woken and ends it", async () => {
    const { body: run } = await post("/v1/runs", action());
    service.woken.length = 0;
    const { status, body } = await post(`/v1/runs/${run.id}/cancel`, { reason: "changed our mind" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: "pending", cancel_reason: "changed our mind" });
    expect(body.cancel_requested_at).not.toBeNull();
    expect(service.woken).toEqual(["supervise"]);
    expect((await post(`/v1/runs/${run.id}/cancel`)).status).toBe(200);
    await actOnCancels(service.deps);
    expect((await get(`/v1/runs/${run.id}`)).body).toMatchObject({
      status: "cancelled",
      status_reason: "requested",
      cancel_reason: "changed our mind",
    });
    const late = await post(`/v1/runs/${run.id}/cancel`);
    expect(late.status).toBe(409);
    expect(late.body.state).toEqual({ status: "cancelled", status_reason: "requested" });
  });

  test("an ended run starts anew as its next attempt; one that completed only by force", async () => {
    const { body: run } = await post("/v1/runs", action());
    const open = await post(`/v1/runs/${run.id}/retry`);
    expect(open.status).toBe(409);
    expect(open.body.state).toMatchObject({ status: "pending" });
    await report(run.id, "failed");
    const retried = await post(`/v1/runs/${run.id}/retry`);
    expect(retried.status, JSON.stringify(retried.body)).toBe(200);
    expect(retried.body).toMatchObject({ status: "pending", attempt: 2 });
    expect((await get(`/v1/runs/${run.id}`)).body.attempts).toMatchObject([
      { attempt: 1, status: "failed", status_reason: "error", worker: "/test" },
    ]);
    await report(run.id, "completed");
    expect((await post(`/v1/runs/${run.id}/retry`)).status).toBe(409);
    expect((await post(`/v1/runs/${run.id}/retry`, { force: true })).body.attempt).toBe(3);
  });

  test("children are listed with counts, and only the failed ones are retried", async () => {
    const { body: parent } = await post("/v1/runs", action({ targets: ["a", "b", "c"] }));
    expect(parent).toMatchObject({ child_total: 3, targets: ["a", "b", "c"] });
    while ((await expand(service.deps)).full);
    const children = async (query = "") => (await get(`/v1/runs/${parent.id}/children${query}`)).body;
    const all = await children();
    expect(all).toMatchObject({ total: 3, by_status: { pending: 3 }, next_cursor: null });
    const byTarget = (target: string) => all.items.find((run: { target: string }) => run.target === target).id;
    await report(byTarget("a"), "completed");
    await report(byTarget("b"), "completed");
    await report(byTarget("c"), "failed");
    expect((await get(`/v1/runs/${parent.id}`)).body).toMatchObject({ status: "failed", status_reason: "partial" });
    expect((await children("?status=failed")).items).toHaveLength(1);
    const first = await children("?limit=1");
    expect((await children(`?limit=2&cursor=${first.next_cursor}`)).items).toHaveLength(2);

    const retried = await post(`/v1/runs/${parent.id}/retry`);
    expect(retried.status, JSON.stringify(retried.body)).toBe(200);
    expect((await children()).by_status).toEqual({ completed: 2, pending: 1 });
    expect((await get(`/v1/runs/${byTarget("c")}`)).body.attempt).toBe(2);
    // Children are not in the list of runs, unless asked for.
    expect((await get("/v1/runs?target=c")).body.items).toHaveLength(0);
    expect((await get("/v1/runs?target=c&children=true")).body.items).toHaveLength(1);
  });

  test("a schedule's unfinished runs are cancelled together", async () => {
    const { body: schedule } = await post("/v1/schedules", scout("cancelled", { overlap: "buffer_all" }));
    for (let count = 0; count < 3; count++) await post(`/v1/schedules/${schedule.id}/trigger`);
    expect((await post(`/v1/schedules/${schedule.id}/cancel`)).body).toEqual({ cancelling: 3 });
    expect((await post(`/v1/schedules/${schedule.id}/cancel`)).body).toEqual({ cancelling: 0 });
    await actOnCancels(service.deps);
    expect((await get(`/v1/schedules/${schedule.id}/runs?status=cancelled`)).body.items).toHaveLength(3);
  });
});
