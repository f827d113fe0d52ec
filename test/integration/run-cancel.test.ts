import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { requestCancel } from "../../src/database/waiting-runs.ts";
import { actOnCancels } from "../../src/passes/cancel.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";
import { holdRow } from "../support/row-lock.ts";

let life: Life;
beforeAll(async () => {
  life = await startLife();
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const s = (seconds: number) => NOON + seconds * 1_000;

async function cancel(run: { id: string }, reason = "requested") {
  const flagged = await life.service.database.transaction((tx) => requestCancel(tx, [run.id], reason));
  expect(flagged).toEqual([run.id]);
  await life.supervise();
}

async function dispatched(columns: Record<string, unknown> = {}) {
  const run = await life.trigger(await life.schedule(columns));
  await life.handOver();
  await life.trigger_of(run);
  return run;
}

describe("a run that no consumer has", () => {
  test("ends at once: pending", async () => {
    const run = await life.trigger(await life.schedule());
    await life.at(3);
    await cancel(run);
    expect(await life.run(run.id)).toMatchObject({
      ...{ status: "cancelled", status_reason: "requested", completed_at: s(3), deadline_at: null },
    });
    await life.handOver();
    await life.relayed("control", 0);
    expect([life.consumer.triggers, life.control]).toEqual([[], []]);
  });

  test("ends at once: waiting, and pending between two attempts", async () => {
    const schedule = await life.schedule({ overlap: "buffer_all" });
    const first = await life.trigger(schedule);
    const second = await life.trigger(schedule);
    await life.handOver();
    await cancel(second);
    expect((await life.run(second.id)).status).toBe("cancelled");
    await life.say(first, "failed");
    await cancel(first);
    expect(await life.run(first.id)).toMatchObject({ status: "cancelled", attempt: 2 });
  });

  test("a flag on a run that has ended is nothing to act on", async () => {
    const run = await dispatched();
    await life.say(run, "completed");
    expect(await life.service.database.transaction((tx) => requestCancel(tx, [run.id], "requested"))).toEqual([]);
  });
});

describe("a run that a consumer has", () => {
  for (const status of ["dispatched", "running"] as const) {
    test(`${status}: the consumer is asked, and its word ends the run`, async () => {
      const run = await dispatched();
      if (status === "running") await life.say(run, "started");
      await cancel(run, "because");
      expect(await life.run(run.id)).toMatchObject({ status, cancel_sent_at: s(0), deadline_at: s(30) });
      const [asked] = await life.relayed("control", 1);
      expect(asked).toMatchObject({
        type: "run.cancel-requested.v1",
        data: { run_id: run.id, attempt: 1, reason: "because" },
      });
      await life.say(run, "cancelled");
      expect(await life.run(run.id)).toMatchObject({ status: "cancelled", status_reason: "requested" });
    });

    test(`${status}: unanswered after the grace period, and fenced from then on`, async () => {
      const run = await dispatched();
      if (status === "running") await life.say(run, "started");
      await cancel(run);
      await life.at(29);
      await life.supervise();
      expect((await life.run(run.id)).status).toBe(status);
      await life.at(30);
      await life.supervise();
      expect(await life.run(run.id)).toMatchObject({ status: "cancelled", status_reason: "unanswered" });
      await life.say(run, "completed");
      expect((await life.run(run.id)).status).toBe("cancelled");
    });
  }

  test("that starts it only after the request is asked again, with a grace period of its own", async () => {
    const run = await dispatched();
    await cancel(run);
    await life.relayed("control", 1);
    await life.at(20);
    await life.say(run, "started");
    expect(await life.run(run.id)).toMatchObject({ status: "running", deadline_at: s(50) });
    expect(await life.relayed("control", 2)).toHaveLength(2);
    await life.at(31);
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("running");
    await life.at(50);
    await life.supervise();
    expect((await life.run(run.id)).status_reason).toBe("unanswered");
  });

  test("that fails instead has failed, with no further attempt", async () => {
    const run = await dispatched({ max_attempts: 3 });
    await cancel(run);
    await life.say(run, "failed", { error: { message: "torn down" } });
    expect(await life.run(run.id)).toMatchObject({ status: "failed", attempt: 1 });
  });
});

describe("cancel and completion at the same moment", () => {
  // Both want the run's row. Whoever is second waits for the first one's commit and decides by what it finds then.
  test("the request first: the consumer completes all the same, and the run has completed", async () => {
    const run = await dispatched();
    await life.service.database.transaction((tx) => requestCancel(tx, [run.id], "requested"));
    const held = await holdRow(life.service, run.id);
    const cancelling = actOnCancels(life.deps);
    await held.waiter(1);
    const completing = ingest(life.deps, [delivery(run, "completed")]);
    await held.waiter(2);
    await held.release();
    await Promise.all([cancelling, completing]);
    expect(await life.run(run.id)).toMatchObject({ status: "completed", cancel_sent_at: s(0) });
    await life.at(60);
    await life.supervise();
    expect((await life.run(run.id)).status).toBe("completed");
  });

  test("completion first: there is nothing left to cancel, and nobody is asked to stop", async () => {
    const run = await dispatched();
    await life.service.database.transaction((tx) => requestCancel(tx, [run.id], "requested"));
    const held = await holdRow(life.service, run.id);
    const completing = ingest(life.deps, [delivery(run, "completed")]);
    await held.waiter(1);
    const cancelling = actOnCancels(life.deps);
    await held.waiter(2);
    await held.release();
    await Promise.all([cancelling, completing]);
    expect(await life.run(run.id)).toMatchObject({ status: "completed", cancel_sent_at: null });
    expect(await life.service.rows("SELECT * FROM outbox WHERE exchange = 'control'")).toEqual([]);
  });

  test("of a pending run, early answer first: it has completed; cancel first: the answer is late", async () => {
    for (const [first, status] of [
      ["answer", "completed"],
      ["cancel", "cancelled"],
    ] as const) {
      const run = await life.trigger(await life.schedule());
      await life.service.database.transaction((tx) => requestCancel(tx, [run.id], "requested"));
      const held = await holdRow(life.service, run.id);
      const acts = {
        answer: () => ingest(life.deps, [delivery(run, "completed")]),
        cancel: () => actOnCancels(life.deps),
      };
      const one = acts[first]();
      await held.waiter(1);
      const other = acts[first === "answer" ? "cancel" : "answer"]();
      await held.waiter(2);
      await held.release();
      await Promise.all([one, other]);
      expect((await life.run(run.id)).status).toBe(status);
    }
  });
});

describe("a parent", () => {
  const targets = ["a", "b", "c", "d"];

  test("passes it on to its children, and is cancelled when they are", async () => {
    const parent = await life.trigger(await life.schedule({ targets }));
    await life.handOver();
    const children = await life.runs("parent_run_id IS NOT NULL");
    await life.say(children[0]!, "completed");
    await life.say(children[1]!, "started");
    await cancel(parent);
    expect(await life.relayed("control", 3)).toHaveLength(3);
    await life.say(children[1]!, "cancelled");
    expect((await life.run(parent.id)).status).toBe("running");
    await life.at(30);
    await life.supervise();
    expect(await life.run(parent.id)).toMatchObject({
      ...{ status: "cancelled", status_reason: "requested" },
      result: { total: 4, completed: 1, failed: 0, cancelled: 3, skipped: 0 },
    });
  });

  test("waits for its children without holding their parent: another child's progress passes it by", async () => {
    const parent = await life.trigger(await life.schedule({ targets }));
    await life.handOver();
    const children = await life.runs("parent_run_id IS NOT NULL");
    await life.service.database.transaction((tx) => requestCancel(tx, [parent.id], "requested"));
    // Whoever moves a child locks the child, then its parent. A cancel that did it the other way round would hold the parent
    // here, and the two would wait for each other.
    const held = await holdRow(life.service, children[0]!.id);
    const cancelling = actOnCancels(life.deps);
    await held.waiter(1);
    await ingest(life.deps, [delivery(children[3]!, "progress", { progress: 50 })]);
    expect(await life.run(parent.id)).toMatchObject({ child_progress: 50 });
    await held.release();
    await cancelling;
    expect(await life.runs("cancel_requested_at IS NOT NULL AND parent_run_id IS NOT NULL")).toHaveLength(4);
  });

  test("whose last child is cancelled waits for its schedule before it locks any run", async () => {
    const parent = await life.trigger(await life.schedule({ targets: ["a", "b"], max_attempts: 1 }));
    await life.handOver();
    const [first, last] = await life.runs("parent_run_id IS NOT NULL");
    await life.say(first!, "failed");
    await life.service.rows("UPDATE runs SET status = 'pending' WHERE id = $1", [last!.id]);
    await life.service.database.transaction((tx) => requestCancel(tx, [last!.id], "requested"));
    // Release and triggers lock the schedule, then its runs: so must whoever may have to count a failure of it.
    const held = await holdRow(life.service, parent.schedule_id!, "schedules");
    const cancelling = actOnCancels(life.deps);
    await held.waiter(1);
    await life.service.rows("SELECT FROM runs WHERE id = ANY($1) FOR UPDATE NOWAIT", [[parent.id, last!.id]]);
    await held.release();
    await cancelling;
    expect(await life.run(parent.id)).toMatchObject({ status: "failed", child_cancelled: 1, child_failed: 1 });
    expect(await life.service.rows("SELECT consecutive_failures FROM schedules")).toEqual([
      { consecutive_failures: 1 },
    ]);
  });

  test("one child alone: the others go on, and the parent completes", async () => {
    const parent = await life.trigger(await life.schedule({ targets }));
    await life.handOver();
    const [first, ...others] = await life.runs("parent_run_id IS NOT NULL");
    await cancel(first!);
    await life.say(first!, "cancelled");
    for (const child of others) await life.say(child, "completed");
    expect(await life.run(parent.id)).toMatchObject({ status: "completed", child_cancelled: 1, child_completed: 3 });
  });

  test("before it has any child: it and its schedule's place end at once", async () => {
    const schedule = await life.schedule({ targets, overlap: "skip" });
    const parent = await life.trigger(schedule);
    await cancel(parent, "deleted");
    expect(await life.run(parent.id)).toMatchObject({ status: "cancelled", status_reason: "deleted" });
    expect((await life.trigger(schedule)).status).toBe("pending");
  });

  test("whose children have all ended while the request was on its way keeps its end", async () => {
    const parent = await life.trigger(await life.schedule({ targets: ["a"] }));
    await life.handOver();
    const [child] = await life.runs("parent_run_id IS NOT NULL");
    await life.service.database.transaction((tx) => requestCancel(tx, [parent.id], "requested"));
    await life.say(child!, "completed");
    await life.supervise();
    expect((await life.run(parent.id)).status).toBe("completed");
  });
});
