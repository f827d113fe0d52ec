import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fire } from "../../src/passes/fire.ts";
import { plan } from "../../src/passes/plan.ts";
import { occurrenceRunId } from "../../src/schedule/run-id.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;
let consumer: TestConsumer;

beforeAll(async () => {
  service = await startTestService();
  consumer = await startTestConsumer(service.names, "scout.trigger.v1");
});
afterAll(async () => {
  await consumer.close();
  await service.stop();
});
beforeEach(async () => {
  service.setNow(null);
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE agenda, runs, leases, outbox, run_attempts");
  consumer.triggers.length = 0;
});

async function planned(columns: Record<string, unknown> = {}, at = "2026-03-01T11:59:30Z") {
  service.setNow(at);
  const id = await addSchedule(service, columns);
  await plan(service.deps);
  return id;
}

async function fireNow() {
  const result = await fire(service.deps);
  await result.published;
  return result;
}

const runs = () =>
  service.rows<Record<string, unknown>>(
    "SELECT id, status, status_reason, scheduled_for, result, attempt, available_at, deadline_at FROM runs ORDER BY scheduled_for, id",
  );

describe("fire", () => {
  test("records a run, hands its trigger to the broker and advances the schedule", async () => {
    const id = await planned({ name: "noon" });
    service.setNow("2026-03-01T12:00:00.010Z");
    const result = await fireNow();

    expect(result).toMatchObject({ fired: 1, skipped: 0, full: false, next_in_ms: 59_990 });
    const [trigger] = await consumer.received(1);
    const at = Date.parse("2026-03-01T12:00:00Z");
    const run_id = occurrenceRunId(id, at);
    expect(trigger).toMatchObject({
      id: `${run_id}:1`,
      type: "scout.trigger.v1",
      data: { run_id, attempt: 1, schedule_id: id, schedule_name: "noon", scheduled_for: "2026-03-01T12:00:00Z" },
    });
    expect(trigger?.message.properties).toMatchObject({ messageId: `${run_id}:1`, deliveryMode: 2, priority: 4 });
    expect(await runs()).toMatchObject([{ id: run_id, status: "dispatched", status_reason: null, scheduled_for: at }]);
    expect(await service.rows("SELECT * FROM leases")).toEqual([]);
    expect(await service.rows("SELECT next_run_at, last_run_id, run_count FROM schedules")).toEqual([
      { next_run_at: at + 60_000, last_run_id: run_id, run_count: 1 },
    ]);
  });

  test("does nothing before the instant, and says how long it is until then", async () => {
    await planned();
    service.setNow("2026-03-01T11:59:59.750Z");
    expect(await fireNow()).toMatchObject({ fired: 0, full: false, next_in_ms: 250 });
    expect(await runs()).toEqual([]);
  });

  test("an occurrence that has its run already inserts nothing and advances all the same", async () => {
    const id = await planned();
    service.setNow("2026-03-01T12:00:00Z");
    await fireNow();
    await service.rows("UPDATE schedules SET next_run_at = '2026-03-01T12:00:00Z' WHERE id = $1", [id]);
    expect(await fireNow()).toMatchObject({ fired: 0 });
    expect(await runs()).toHaveLength(1);
    expect(await service.rows("SELECT next_run_at FROM schedules")).toEqual([
      { next_run_at: Date.parse("2026-03-01T12:01:00Z") },
    ]);
  });

  test("overlap skip leaves a row that says so while a run is unfinished, allow starts another", async () => {
    await planned({ name: "skipping" });
    await planned({ name: "allowing", overlap: "allow" });
    service.setNow("2026-03-01T12:00:00Z");
    await fireNow();
    service.setNow("2026-03-01T12:01:00Z");
    expect(await fireNow()).toMatchObject({ fired: 1, skipped: 1 });
    const second = await service.rows(
      "SELECT schedule_name, status, status_reason FROM runs WHERE scheduled_for = '2026-03-01T12:01:00Z' ORDER BY 1",
    );
    expect(second).toEqual([
      { schedule_name: "allowing", status: "dispatched", status_reason: null },
      { schedule_name: "skipping", status: "skipped", status_reason: "overlap" },
    ]);
  });

  test("after an outage the latest occurrence runs and the missed ones are one row", async () => {
    await planned();
    service.setNow("2026-03-01T12:05:30Z");
    await fireNow();
    expect(await runs()).toMatchObject([
      {
        status: "skipped",
        status_reason: "missed",
        scheduled_for: Date.parse("2026-03-01T12:00:00Z"),
        result: { first: "2026-03-01T12:00:00.000Z", last: "2026-03-01T12:04:00.000Z", count: 5 },
      },
      { status: "dispatched", scheduled_for: Date.parse("2026-03-01T12:05:00Z") },
    ]);
  });

  test("jitter moves the dispatch, never the nominal instant, and is the same every time", async () => {
    const id = await planned({ jitter_seconds: 600 });
    const at = Date.parse("2026-03-01T12:00:00Z");
    service.setNow(at);
    await fireNow();
    const [run] = await runs();
    const { jitter } = await import("../../src/schedule/run-id.ts");
    expect(run).toMatchObject({ status: "pending", status_reason: "jitter", scheduled_for: at });
    expect(run?.available_at).toBe(at + jitter(id, at, 600_000));
  });

  test("one schedule that cannot be written is set aside with a problem; the others fire", async () => {
    const names = Array.from({ length: 9 }, (_, index) => `good ${index}`);
    for (const name of names) await planned({ name });
    const bad = await planned({ name: "bad" });
    // What only a hand can do: the run would break a CHECK of its table.
    await service.rows(`UPDATE schedules SET resolved = jsonb_set(resolved, '{priority}', '7') WHERE id = $1`, [bad]);
    service.setNow("2026-03-01T12:00:00Z");
    expect(await fireNow()).toMatchObject({ fired: 9 });
    await consumer.received(9);
    expect(await service.rows("SELECT name, next_run_at FROM schedules WHERE problem IS NOT NULL")).toEqual([
      { name: "bad", next_run_at: null },
    ]);
    expect(await service.rows("SELECT routing_key FROM outbox")).toEqual([{ routing_key: "schedule.problem.v1" }]);
    expect(await service.rows("SELECT * FROM leases")).toEqual([]);
  });

  test("two instances at once fire every occurrence once", async () => {
    const other = await service.sibling("test-2");
    for (let index = 0; index < 300; index += 1) await planned({ name: `many ${index}` });
    service.setNow("2026-03-01T12:00:00Z");
    other.setNow("2026-03-01T12:00:00Z");
    const drain = async (deps: TestService["deps"]) => {
      for (;;) {
        const result = await fire(deps, 7);
        await result.published;
        if (result.fired === 0 && !result.full && (result.next_in_ms ?? 1) > 50) return;
      }
    };
    await Promise.all([drain(service.deps), drain(other.deps)]);
    const triggers = await consumer.received(300);
    expect(new Set(triggers.map((trigger) => trigger.id)).size).toBe(300);
    expect(triggers).toHaveLength(300);
    expect(await runs()).toHaveLength(300);
  });

  test("a schedule paused or disabled is not due; a hand-set next_run_at in its place does not fire either", async () => {
    const id = await planned();
    await service.rows("UPDATE schedules SET enabled = false WHERE id = $1", [id]);
    await plan(service.deps);
    await service.rows("UPDATE schedules SET next_run_at = '2026-03-01T12:00:00Z' WHERE id = $1", [id]);
    service.setNow("2026-03-01T12:00:01Z");
    expect(await fireNow()).toMatchObject({ fired: 0, full: false });
  });
});
