import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Life, NOON, startLife } from "../support/life.ts";

let life: Life;
beforeAll(async () => {
  life = await startLife();
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const attempts = () =>
  life.service.rows("SELECT * FROM run_attempts ORDER BY run_id, attempt") as Promise<Record<string, unknown>[]>;

describe("a failed attempt", () => {
  test("is archived and followed by the next one after its backoff", async () => {
    const schedule = await life.schedule({ retry_backoff_seconds: 30, max_attempts: 3 });
    const run = await life.trigger(schedule);
    await life.handOver();
    await life.trigger_of(run);
    await life.at(5);
    await life.say(run, "started");
    await life.at(8);
    await life.say(run, "progress", { progress: 40, metrics: { pages: 12 } });
    await life.at(10);
    await life.say(run, "failed", { error: { code: "E_DISK", message: "no room" }, result: { done: 12 } });

    const retried = await life.run(run.id);
    expect(retried).toMatchObject({
      ...{ status: "pending", status_reason: "retry", attempt: 2, error_code: "E_DISK", error_message: "no room" },
      ...{ progress: null, metrics: null, result: null, started_at: null, dispatched_at: null, worker: null },
    });
    const delay = retried.available_at - (NOON + 10_000);
    expect(delay).toBeGreaterThanOrEqual(27_000);
    expect(delay).toBeLessThanOrEqual(30_000);
    expect(await attempts()).toMatchObject([
      {
        ...{ run_id: run.id, attempt: 1, status: "failed", status_reason: "error", error_code: "E_DISK" },
        ...{ error_message: "no room", worker: "/test/consumer", progress: 40, metrics: { pages: 12 } },
        ...{ result: { done: 12 }, dispatched_at: NOON, started_at: NOON + 5_000, completed_at: NOON + 10_000 },
      },
    ]);
    expect(life.service.woken).toContain("dispatch");

    await life.at(10 + 26);
    await life.handOver();
    expect((await life.run(run.id)).status).toBe("pending");
    await life.at(10 + 30);
    await life.handOver();
    const second = await life.trigger_of(run, 2);
    expect(second.data).toMatchObject({ run_id: run.id, attempt: 2 });
    await life.say({ id: run.id, attempt: 2 }, "completed", { result: 7, metrics: { pages: 1 } });
    expect(await life.run(run.id)).toMatchObject({
      ...{ status: "completed", attempt: 2, result: 7, metrics: { pages: 1 }, error_message: null, progress: 100 },
    });
  });

  test("with no attempt left fails the run; retryable false does so at once", async () => {
    const schedule = await life.schedule({ retry_backoff_seconds: 0, max_attempts: 2 });
    const run = await life.trigger(schedule);
    const final = await life.trigger(schedule);
    await life.handOver();
    await life.say(final, "failed", { error: { message: "never", retryable: false } });
    await life.say(run, "failed", { error: { message: "first" } });
    await life.handOver();
    await life.trigger_of(run, 2);
    await life.say({ id: run.id, attempt: 2 }, "failed", { error: { message: "second" } });
    expect(await life.run(run.id)).toMatchObject({ status: "failed", attempt: 2, error_message: "second" });
    expect(await life.run(final.id)).toMatchObject({ status: "failed", attempt: 1, error_message: "never" });
    expect(await attempts()).toHaveLength(1);
    expect(await life.service.rows("SELECT consecutive_failures FROM schedules")).toEqual([
      { consecutive_failures: 2 },
    ]);
  });

  test("a consumer's own skipped is no failure and is not tried again", async () => {
    const run = await life.trigger(await life.schedule());
    await life.handOver();
    await life.say(run, "skipped", { message: "nothing new" });
    expect(await life.run(run.id)).toMatchObject({ status: "skipped", status_reason: "consumer", attempt: 1 });
    expect(await life.service.rows("SELECT consecutive_failures FROM schedules")).toEqual([
      { consecutive_failures: 0 },
    ]);
  });

  test("updates of an old attempt change nothing and are counted", async () => {
    const run = await life.trigger(await life.schedule({ retry_backoff_seconds: 0 }));
    await life.handOver();
    await life.say(run, "failed");
    await life.handOver();
    await life.trigger_of(run, 2);
    const before = await life.run(run.id);
    await life.say(run, "completed");
    expect(await life.run(run.id)).toEqual(before);
    const { values } = await life.deps.metrics.status_updates.get();
    expect(values.find(({ labels }) => labels.outcome === "stale")?.value).toBe(1);
  });
});

describe("pause_after_failures", () => {
  test("pauses the schedule with a note and an event; a success counts anew", async () => {
    const schedule = await life.schedule({ pause_after_failures: 2, max_attempts: 1, name: "fragile" });
    const fail = async (status: string) => {
      const run = await life.trigger(schedule);
      await life.handOver();
      await life.say(run, status);
    };
    const row = async () =>
      (await life.service.rows("SELECT consecutive_failures, paused_until, pause_note FROM schedules"))[0];
    await fail("failed");
    await fail("completed");
    expect(await row()).toMatchObject({ consecutive_failures: 0 });
    await fail("failed");
    expect(await row()).toMatchObject({ consecutive_failures: 1, paused_until: null });
    await fail("skipped");
    await fail("failed");
    expect(await row()).toEqual({
      consecutive_failures: 2,
      paused_until: Number.POSITIVE_INFINITY,
      pause_note: "paused after 2 failures in a row",
    });
    const told = await life.relayed("events", 4);
    expect(told.map(({ type }) => type)).toEqual([
      "run.failed.v1",
      "run.failed.v1",
      "run.failed.v1",
      "schedule.paused.v1",
    ]);
    expect(told[3]?.data).toMatchObject({ schedule_name: "fragile", reason: "failures", consecutive_failures: 2 });
  });
});
