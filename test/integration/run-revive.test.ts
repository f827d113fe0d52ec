import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { reviveRun } from "../../src/database/revive-run.ts";
import { requestCancel } from "../../src/database/waiting-runs.ts";
import { expand } from "../../src/passes/expand.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { Conflict, NotFound } from "../../src/schedule/errors.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";

let life: Life;
beforeAll(async () => {
  life = await startLife("test.plain", "test.host");
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const revive = (run: { id: string }, options: { force?: boolean } = {}) =>
  life.service.database.transaction((tx) => reviveRun(tx, run.id, options));

async function ended(status: string, columns: Record<string, unknown> = {}) {
  const run = await life.trigger(await life.schedule({ max_attempts: 1, ...columns }));
  await life.handOver();
  await life.say(run, status, { metrics: { n: 1 } });
  return run;
}

describe("an ended run", () => {
  for (const status of ["failed", "cancelled", "skipped"] as const) {
    test(`${status}: starts anew as its next attempt, the old one archived as it ended`, async () => {
      const run = await ended(status);
      await life.at(100);
      await revive(run);
      expect(await life.run(run.id)).toMatchObject({
        ...{ status: "pending", attempt: 2, available_at: NOON + 100_000, completed_at: null, metrics: null },
      });
      expect(await life.service.rows("SELECT attempt, status, metrics FROM run_attempts")).toEqual([
        { attempt: 1, status, metrics: { n: 1 } },
      ]);
      await life.handOver();
      await life.trigger_of(run, 2);
      await life.say({ id: run.id, attempt: 2 }, "completed");
      expect((await life.run(run.id)).status).toBe("completed");
    });
  }

  test("completed: only with force", async () => {
    const run = await ended("completed");
    await expect(revive(run)).rejects.toThrow(Conflict);
    await revive(run, { force: true });
    expect(await life.run(run.id)).toMatchObject({ status: "pending", attempt: 2, progress: null });
  });

  test("what was asked of its last attempt is forgotten: a cancelled run is not cancelled again", async () => {
    const run = await life.trigger(await life.schedule());
    await life.service.database.transaction((tx) => requestCancel(tx, [run.id], "requested"));
    await life.supervise();
    await revive(run);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "pending", attempt: 2, cancel_requested_at: null });
  });

  test("one that has not ended, or that does not exist, is refused with the state", async () => {
    const run = await life.trigger(await life.schedule());
    await expect(revive(run)).rejects.toMatchObject({ name: "Conflict", state: { status: "pending", attempt: 1 } });
    await expect(revive({ id: "019b77b2-0000-7000-8000-000000000001" })).rejects.toThrow(NotFound);
  });

  test("a late answer to the attempt before changes nothing", async () => {
    const run = await ended("failed");
    await revive(run);
    await life.say(run, "completed");
    expect(await life.run(run.id)).toMatchObject({ status: "pending", attempt: 2 });
  });

  test("counts in its breaker once, and is told as failed once", async () => {
    const run = await ended("failed", { action: "test.host", payload: { url: "https://x.example/" } });
    await revive(run);
    expect(await life.service.rows("SELECT failures FROM breakers")).toEqual([{ failures: 1 }]);
    expect(await life.service.rows("SELECT routing_key FROM outbox")).toEqual([{ routing_key: "run.failed.v1" }]);
  });
});

describe("overlap", () => {
  test("skip: refused while another run holds the place", async () => {
    const run = await ended("failed", { overlap: "skip" });
    const other = await life.trigger(run.schedule_id!);
    await expect(revive(run)).rejects.toThrow("another run of its schedule has not ended");
    await life.handOver();
    await life.say(other, "completed");
    await revive(run);
    expect((await life.run(run.id)).status).toBe("pending");
    expect((await life.trigger(run.schedule_id!)).status_reason).toBe("overlap");
  });

  test("buffer_all: it waits for its place", async () => {
    const run = await ended("failed", { overlap: "buffer_all" });
    const other = await life.trigger(run.schedule_id!);
    await revive(run);
    expect(await life.run(run.id)).toMatchObject({ status: "waiting", status_reason: "buffered", attempt: 2 });
    await life.handOver();
    await life.say(other, "completed");
    expect((await life.run(run.id)).status).toBe("pending");
  });

  test("two that are retried at once: one goes, the other is refused", async () => {
    const run = await ended("failed", { overlap: "skip" });
    const other = await life.trigger(run.schedule_id!);
    await life.handOver();
    await life.say(other, "failed");
    const results = await Promise.allSettled([revive(run), revive(other)]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(results.find((result) => result.status === "rejected")?.reason).toBeInstanceOf(Conflict);
  });
});

describe("fan-out", () => {
  async function parentWith(...ends: string[]) {
    const targets = ends.map((_, index) => `node ${index}`);
    const parent = await life.trigger(await life.schedule({ targets, max_attempts: 1, overlap: "skip" }));
    await life.handOver();
    const children = await childrenOf(parent);
    await ingest(
      life.deps,
      ends.map((status, index) => delivery(children[index]!, status)),
    );
    return parent;
  }
  const childrenOf = async (parent: { id: string }) =>
    (await life.runs(`parent_run_id = '${parent.id}'`)).sort((a, b) => a.target!.localeCompare(b.target!));
  const attempts = async (parent: { id: string }) => (await childrenOf(parent)).map(({ attempt }) => attempt);

  test("a child: counts back down in its parent, which runs again and takes its place again", async () => {
    const parent = await parentWith("completed", "failed");
    expect((await life.run(parent.id)).status_reason).toBe("partial");
    const [, failed] = await childrenOf(parent);
    await revive(failed!);
    expect(await life.run(parent.id)).toMatchObject({
      ...{
        status: "running",
        status_reason: null,
        result: null,
        completed_at: null,
        child_failed: 0,
        child_completed: 1,
      },
    });
    expect((await life.trigger(parent.schedule_id!)).status_reason).toBe("overlap");
    await life.handOver();
    await life.say({ id: failed!.id, attempt: 2 }, "completed");
    expect(await life.run(parent.id)).toMatchObject({ status: "completed", result: { completed: 2, failed: 0 } });
  });

  test("a child of a parent whose place is taken by now is refused", async () => {
    const parent = await parentWith("completed", "failed");
    await life.trigger(parent.schedule_id!);
    await expect(revive((await childrenOf(parent))[1]!)).rejects.toThrow(Conflict);
    await expect(revive(parent)).rejects.toThrow(Conflict);
    expect((await life.run(parent.id)).status).toBe("failed");
  });

  test("a child of a parent that still runs", async () => {
    const parent = await life.trigger(await life.schedule({ targets: ["a", "b"], max_attempts: 1 }));
    await life.handOver();
    const [a, b] = await childrenOf(parent);
    await life.say(a!, "failed");
    await revive(a!);
    expect(await life.run(parent.id)).toMatchObject({ status: "running", child_failed: 0 });
    await life.handOver();
    await life.say({ id: a!.id, attempt: 2 }, "completed");
    await life.say(b!, "completed");
    expect((await life.run(parent.id)).status).toBe("completed");
  });

  test("a parent: only the failed children start anew", async () => {
    const parent = await parentWith("completed", "failed", "skipped", "failed");
    await revive(parent);
    expect(await attempts(parent)).toEqual([1, 2, 1, 2]);
    expect(await life.run(parent.id)).toMatchObject({
      status: "running",
      child_completed: 1,
      child_skipped: 1,
      child_failed: 0,
    });
    await life.handOver();
    for (const child of (await childrenOf(parent)).filter(({ attempt }) => attempt === 2)) {
      await life.say({ id: child.id, attempt: 2 }, "completed");
    }
    expect(await life.run(parent.id)).toMatchObject({
      status: "completed",
      result: { completed: 3, skipped: 1, failed: 0 },
    });
  });

  test("a completed parent with force: all of them", async () => {
    const parent = await parentWith("completed", "completed");
    await expect(revive(parent)).rejects.toThrow(Conflict);
    await revive(parent, { force: true });
    expect(await attempts(parent)).toEqual([2, 2]);
    expect(await life.run(parent.id)).toMatchObject({ status: "running", child_completed: 0, child_progress: 0 });
  });

  test("a parent that was cancelled before all its children were made: the cancelled ones, and the rest is made", async () => {
    const targets = Array.from({ length: 6 }, (_, index) => `node ${index}`);
    const parent = await life.trigger(await life.schedule({ targets, overlap: "skip" }));
    await expand(life.deps, 4);
    const made = await childrenOf(parent);
    await ingest(life.deps, [delivery(made[0]!, "completed")]);
    await life.service.database.transaction((tx) => requestCancel(tx, [parent.id], "requested"));
    await life.supervise();
    expect(await life.run(parent.id)).toMatchObject({ status: "cancelled", child_total: 4, child_cancelled: 3 });
    await revive(parent);
    expect(await life.run(parent.id)).toMatchObject({ status: "running", child_total: 6, child_cancelled: 0 });
    await life.handOver();
    expect(await attempts(parent)).toEqual([1, 2, 2, 2, 1, 1]);
    for (const child of await life.runs("status = 'dispatched'")) await life.say(child, "completed");
    expect(await life.run(parent.id)).toMatchObject({ status: "completed", result: { total: 6, completed: 6 } });
  });

  test("a parent that never had children is expanded now", async () => {
    const schedule = await life.schedule({ targets: ["a", "b"], overlap: "skip" });
    const first = await life.trigger(schedule);
    const skipped = await life.trigger(schedule);
    expect(skipped.status_reason).toBe("overlap");
    await life.service.database.transaction((tx) => requestCancel(tx, [first.id], "requested"));
    await life.supervise();
    await revive(skipped);
    await life.handOver();
    expect(await childrenOf(skipped)).toHaveLength(2);
    expect((await life.run(skipped.id)).status).toBe("running");
  });
});
