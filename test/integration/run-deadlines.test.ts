import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { listening } from "../../src/database/listening.ts";
import { echo, heardEcho, startedListening } from "../../src/passes/echo.ts";
import { type Life, NOON, startLife } from "../support/life.ts";
import { waitFor } from "../support/wait-for.ts";

let life: Life;
beforeAll(async () => {
  life = await startLife("test.plain", "test.host");
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const s = (seconds: number) => NOON + seconds * 1_000;
const POLICY = { timeout_seconds: 100, heartbeat_seconds: 20, start_deadline_seconds: 50, retry_backoff_seconds: 0 };

async function running(columns: Record<string, unknown> = {}) {
  const run = await life.trigger(await life.schedule({ ...POLICY, ...columns }));
  await life.handOver();
  await life.say(run, "started");
  return run;
}

/** Time passes and nobody hears anything: the clock moves, what is known to have been heard does not. */
function unheard(seconds: number) {
  life.service.setNow(s(seconds));
}

const noted = async () =>
  (
    await life.service.rows<{ value: { since: number; until: number } }>(
      "SELECT value FROM settings WHERE key = 'listening'",
    )
  )[0]?.value;

describe("a time-out", () => {
  test("fails the attempt, tells the consumer to stop, and is followed by the next attempt", async () => {
    const run = await running({ heartbeat_seconds: 0, max_attempts: 2 });
    await life.at(99);
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("running");
    await life.at(100);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "pending", status_reason: "retry", attempt: 2 });
    expect(await life.service.rows("SELECT status_reason, error_code FROM run_attempts")).toEqual([
      { status_reason: "timeout", error_code: "timeout" },
    ]);
    const [stop] = await life.relayed("control", 1);
    expect(stop).toMatchObject({
      type: "run.cancel-requested.v1",
      data: { run_id: run.id, attempt: 1, reason: "timeout" },
    });
    await life.say(run, "completed");
    expect(await life.run(run.id)).toMatchObject({ status: "pending", attempt: 2 });

    await life.handOver();
    await life.say({ id: run.id, attempt: 2 }, "started");
    await life.at(300);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "timeout", attempt: 2 });
  });
});

describe("a heartbeat", () => {
  test("that stays out for longer than allowed is lost", async () => {
    const run = await running({ max_attempts: 1 });
    await life.at(20);
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("running");
    await life.at(21);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "heartbeat_lost" });
    expect((await life.relayed("control", 1))[0]?.data).toMatchObject({ reason: "heartbeat_lost" });
  });

  test("keeps the run, though the deadline is moved only when it is looked at", async () => {
    const run = await running();
    for (const seconds of [15, 30, 45]) {
      await life.at(seconds);
      await life.say(run, "heartbeat");
      expect((await life.run(run.id)).heartbeat_at).toBe(s(seconds));
    }
    expect((await life.run(run.id)).deadline_at).toBe(s(20));
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "running", deadline_at: s(65) });
    await life.at(66);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "pending", attempt: 2 });
  });

  test("progress is a sign of life too", async () => {
    const run = await running();
    await life.at(19);
    await life.say(run, "progress", { progress: 1 });
    await life.at(25);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "running", deadline_at: s(39) });
  });

  test("is not missed while nobody listens, nor for what was silent before listening resumed", async () => {
    const run = await running({ timeout_seconds: 100_000 });
    unheard(3_600);
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("running");
    // Back after an hour: everything sent meanwhile has been read, but it may never have reached the broker.
    await startedListening(life.deps);
    await life.service.rows(`UPDATE settings SET value = value || '{"until": ${s(3_600)}}' WHERE key = 'listening'`);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "running" });
    await life.say(run, "heartbeat");
    expect(await life.run(run.id)).toMatchObject({ status: "running", heartbeat_at: s(3_600) });
  });

  test("what came of the time before and after a gap is judged by the time after it alone", async () => {
    const run = await running({ max_attempts: 1, timeout_seconds: 100_000 });
    await life.service.rows(
      `UPDATE settings SET value = '{"since": ${s(1_000)}, "until": ${s(1_019)}}' WHERE key = 'listening'`,
    );
    life.service.setNow(s(1_019));
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "running", deadline_at: s(1_020) });
    await life.service.rows(
      `UPDATE settings SET value = '{"since": ${s(1_000)}, "until": ${s(1_021)}}' WHERE key = 'listening'`,
    );
    life.service.setNow(s(1_021));
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "heartbeat_lost" });
  });
});

describe("the start deadline", () => {
  test("of a pending run: fails the attempt, counted anew for the next one", async () => {
    await life.service.rows("UPDATE pools SET drained = true WHERE name = 'default'");
    const run = await life.trigger(await life.schedule({ ...POLICY, max_attempts: 2 }));
    await life.handOver();
    await life.at(50);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "pending", attempt: 2, deadline_at: s(100) });
    await life.at(100);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "not_started" });
    await life.relayed("control", 0);
    expect(life.control).toEqual([]);
  });

  test("of a dispatched run: once everything until then was heard, and the consumer is told", async () => {
    const run = await life.trigger(await life.schedule({ ...POLICY, max_attempts: 1 }));
    await life.handOver();
    const { data } = await life.trigger_of(run);
    expect((data as unknown as { start_before: string }).start_before).toBe("2026-03-01T12:00:50Z");
    unheard(3_600);
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("dispatched");
    await life.at(51);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "not_started" });
    expect((await life.relayed("control", 1))[0]?.data).toMatchObject({ run_id: run.id, reason: "not_started" });
    // The consumer starts it all the same: it is told again.
    await life.say(run, "started");
    expect((await life.relayed("control", 2))[1]?.data).toMatchObject({ run_id: run.id, attempt: 1 });
    expect((await life.run(run.id)).status).toBe("failed");
  });

  test("is met by an answer that the service reads only after it has passed", async () => {
    const run = await life.trigger(await life.schedule({ ...POLICY, max_attempts: 1, heartbeat_seconds: 0 }));
    await life.handOver();
    unheard(60);
    await life.supervise();
    await life.say(run, "started");
    await life.at(61);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "running", started_at: s(60) });
  });

  test("runs that cannot be judged yet do not keep others from their end", async () => {
    const schedule = await life.schedule({ ...POLICY, max_attempts: 1 });
    const dispatched = await life.trigger(schedule);
    await life.handOver();
    await life.service.rows("UPDATE pools SET drained = true WHERE name = 'default'");
    await life.at(1);
    const pending = await life.trigger(schedule);
    await life.at(10);
    unheard(60);
    const { expire } = await import("../../src/passes/expire.ts");
    expect(await expire(life.deps, 1)).toMatchObject({ ended: 1 });
    expect((await life.run(pending.id)).status_reason).toBe("not_started");
    expect((await life.run(dispatched.id)).status).toBe("dispatched");
  });
});

describe("a deadline that is near", () => {
  test("is told to supervise, which may be asleep until the next poll", async () => {
    life.service.woken.length = 0;
    const far = await running({ timeout_seconds: 3_600, heartbeat_seconds: 0, start_deadline_seconds: 3_600 });
    await life.say(far, "heartbeat");
    expect(life.service.woken).not.toContain("supervise");
    const run = await life.trigger(await life.schedule({ ...POLICY, start_deadline_seconds: 20 }));
    await life.handOver();
    expect(life.service.woken).toContain("supervise");
    life.service.woken.length = 0;
    await life.at(5);
    await life.say(run, "started");
    expect(life.service.woken).toContain("supervise");
    const { supervise } = await import("../../src/passes/supervise.ts");
    const report = { id: "test-1", version: "t", broker: "ready", passes: {} };
    // A lease that a sibling takes now and leaves behind would expire sooner than that.
    expect((await supervise(life.deps, report)).next_in_ms).toBe(15_000);
    await life.at(15);
    expect((await supervise(life.deps, report)).next_in_ms).toBe(10_000);
  });
});

describe("supervise", () => {
  test("does the rest of its work though one part fails, and says so", async () => {
    const run = await running({ max_attempts: 1, heartbeat_seconds: 0 });
    await life.at(100);
    await life.service.rows("ALTER TABLE leases RENAME TO leases_away");
    await expect(life.supervise()).rejects.toMatchObject({ code: "42P01" });
    await life.service.rows("ALTER TABLE leases_away RENAME TO leases");
    expect((await life.run(run.id)).status_reason).toBe("timeout");
  });
});

describe("what the service has heard", () => {
  test("is known from its own echo, behind everything that consumers had sent before it", async () => {
    const run = await running();
    life.service.setNow(s(2));
    await life.consumer.report({ run_id: run.id, attempt: 1 }, "progress", { progress: 12 });
    await echo(life.deps);
    await waitFor(async () => (await noted())?.until === s(2), { describe: "the echo" });
    expect((await life.run(run.id)).progress).toBe(12);
  });

  test("is no more than what every instance has heard: one that stands still may hold messages", async () => {
    const until = async () => (await life.service.database.transaction((tx) => listening(tx)))?.until;
    const sibling = { ...life.deps, instance: "test-2" };
    const run = await running({ max_attempts: 1 });
    life.service.setNow(s(1));
    await startedListening(life.deps);
    await startedListening(sibling);
    // The other one has taken this run's heartbeats off the queue, and stands still from now on.
    for (const seconds of [15, 30, 45]) {
      life.service.setNow(s(seconds));
      await heardEcho(life.deps, s(seconds));
      expect(await until()).toBe(s(1));
      await life.supervise();
    }
    expect((await life.run(run.id)).status).toBe("running");
    // The broker gives up on it and hands its messages to us, ahead of the echo that we hear next.
    life.service.setNow(s(47));
    await life.say(run, "heartbeat");
    await heardEcho(life.deps, s(47));
    expect(await until()).toBe(s(47));
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("running");
    // Back again, it has nothing of the time before, but says so only with its first echo.
    await startedListening(sibling);
    life.service.setNow(s(60));
    await heardEcho(life.deps, s(60));
    expect(await until()).toBe(s(47));
    await heardEcho(sibling, s(61));
    expect(await until()).toBe(s(60));
  });

  test("a gap between two echoes starts a new span", async () => {
    await startedListening(life.deps);
    for (const [seconds, since] of [
      [5, 0],
      [19, 0],
      [40, 40],
      [45, 40],
    ] as const) {
      life.service.setNow(s(seconds));
      await echo(life.deps);
      await waitFor(async () => (await noted())?.until === s(seconds), { describe: "the echo" });
      expect((await noted())?.since).toBe(s(since));
    }
  });
});
