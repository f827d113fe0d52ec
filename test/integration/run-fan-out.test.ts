import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunRow } from "../../src/database/schema.ts";
import { requestCancel } from "../../src/database/waiting-runs.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { expand } from "../../src/passes/expand.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { delivery, type Life, startLife } from "../support/life.ts";
import { holdRow } from "../support/row-lock.ts";
import type { TestService } from "../support/service.ts";

let life: Life;
let sibling: TestService;
beforeAll(async () => {
  life = await startLife();
  sibling = await life.service.sibling("test-2");
});
afterAll(() => life.stop());
beforeEach(async () => {
  await life.reset();
  sibling.setNow(life.now());
});

const nodes = (count: number) => Array.from({ length: count }, (_, index) => `node ${index}`);
const children = () => life.runs("parent_run_id IS NOT NULL");

async function parentOf(count: number, columns: Record<string, unknown> = {}) {
  return life.trigger(await life.schedule({ targets: nodes(count), retry_backoff_seconds: 0, ...columns }));
}

/** The counters of a parent and what its children really are. */
async function counted(id: string) {
  const [row] = await life.service.rows(
    `SELECT p.child_total AS total, p.child_completed AS completed, p.child_failed AS failed,
       p.child_cancelled AS cancelled, p.child_skipped AS skipped FROM runs p WHERE p.id = $1`,
    [id],
  );
  const [real] = await life.service.rows(
    `SELECT count(*)::int AS total, count(*) FILTER (WHERE status = 'completed')::int AS completed,
       count(*) FILTER (WHERE status = 'failed')::int AS failed, count(*) FILTER (WHERE status = 'cancelled')::int AS cancelled,
       count(*) FILTER (WHERE status = 'skipped')::int AS skipped FROM runs WHERE parent_run_id = $1`,
    [id],
  );
  return { row, real };
}

describe("a parent", () => {
  test("is never published; each child is, with its target, and reports alone", async () => {
    const parent = await parentOf(3);
    await life.handOver();
    const triggers = await life.consumer.received(3);
    expect(triggers.map(({ data }) => data.target).sort()).toEqual(nodes(3));
    expect(triggers.map(({ data }) => data.run_id)).not.toContain(parent.id);
    expect(await life.run(parent.id)).toMatchObject({ status: "running", deadline_at: null, progress: null });
    const [a, b, c] = await children();
    await life.say(a!, "progress", { progress: 30 });
    await life.say(b!, "completed");
    expect(await life.run(parent.id)).toMatchObject({ child_completed: 1, child_progress: 130 });
    expect((await life.run(parent.id)).progress).toBeCloseTo(130 / 3, 3);
    await life.say(a!, "completed");
    await life.say(c!, "completed");
    expect(await life.run(parent.id)).toMatchObject({
      ...{
        status: "completed",
        progress: 100,
        result: { total: 3, completed: 3, failed: 0, cancelled: 0, skipped: 0 },
      },
    });
  });

  test("nobody can speak for it", async () => {
    const parent = await parentOf(2);
    await life.handOver();
    const before = await life.run(parent.id);
    await life.say(parent, "completed");
    expect(await life.run(parent.id)).toEqual(before);
  });

  test("children are retried and timed out alone, and the parent counts their ends only", async () => {
    const parent = await parentOf(2, { max_attempts: 2, timeout_seconds: 60 });
    await life.handOver();
    const [a, b] = await children();
    await life.say(a!, "progress", { progress: 50 });
    await life.say(a!, "failed");
    expect(await life.run(parent.id)).toMatchObject({ child_failed: 0, child_progress: 0 });
    await life.handOver();
    await life.say({ id: a!.id, attempt: 2 }, "completed");
    await life.say(b!, "started");
    await life.at(61);
    await life.supervise();
    await life.handOver();
    await life.say({ id: b!.id, attempt: 2 }, "failed");
    expect(await life.run(parent.id)).toMatchObject({
      ...{ status: "failed", status_reason: "partial", error_message: "1 of 2 targets failed" },
    });
    expect((await life.service.rows("SELECT consecutive_failures FROM schedules"))[0]).toEqual({
      consecutive_failures: 1,
    });
  });

  test("all failed: failed, and its schedule's other runs may go", async () => {
    const parent = await parentOf(2, { max_attempts: 1, overlap: "buffer_one" });
    const waiting = await life.trigger(parent.schedule_id!);
    expect(waiting.status_reason).toBe("buffered");
    await life.handOver();
    for (const child of await children()) await life.say(child, "failed", { error: { message: "down" } });
    expect(await life.run(parent.id)).toMatchObject({ status: "failed", status_reason: "error" });
    expect((await life.run(waiting.id)).status).toBe("pending");
  });
});

describe("expanding", () => {
  test("goes on after a failure between two chunks, with nothing left out and nothing twice", async () => {
    const parent = await parentOf(25);
    await expand(life.deps, 10);
    // The second chunk is rolled back, as by kill -9 before its commit.
    const broken = { ...life.deps, database: { ...life.deps.database, transaction: failing(life.deps.database) } };
    await expect(expand(broken, 10)).rejects.toThrow("killed");
    expect(await life.run(parent.id)).toMatchObject({ status: "running", child_expanded: 10 });
    expect(await children()).toHaveLength(10);
    while ((await expand(life.deps, 10)).full);
    expect(await life.run(parent.id)).toMatchObject({ child_expanded: 25 });
    const made = await children();
    expect(made.map(({ target }) => target).sort()).toEqual(nodes(25).sort());
  });

  function failing(database: Life["deps"]["database"]): Life["deps"]["database"]["transaction"] {
    return (work) =>
      database.transaction(async (tx) => {
        await work(tx);
        throw new Error("killed");
      });
  }

  test("by two instances at once makes each child once", async () => {
    const parents = [await parentOf(40), await parentOf(40), await parentOf(40)];
    const drain = async (deps: Life["deps"]) => {
      while ((await expand(deps, 7)).full);
    };
    await Promise.all([drain(life.deps), drain(sibling.deps)]);
    await drain(life.deps);
    for (const parent of parents) expect((await counted(parent.id)).real).toMatchObject({ total: 40 });
  });

  test("cancelled in the middle: the children that exist are all there will be, and it ends cancelled", async () => {
    const parent = await parentOf(30);
    await expand(life.deps, 10);
    await dispatch(life.deps).then((result) => result.published);
    await life.service.database.transaction((tx) => requestCancel(tx, [parent.id], "requested"));
    expect(await expand(life.deps, 10)).toMatchObject({ expanded: 0, full: false });
    const made = await children();
    expect(made).toHaveLength(10);
    for (const child of made) await life.say(child, "completed");
    expect((await life.run(parent.id)).status).toBe("running");
    await life.supervise();
    expect(await life.run(parent.id)).toMatchObject({
      ...{ status: "cancelled", status_reason: "requested" },
      result: { total: 10, completed: 10, failed: 0, cancelled: 0, skipped: 0 },
    });
  });

  test("and cancelling at the same moment: no child is forgotten", async () => {
    const parent = await parentOf(20);
    await expand(life.deps, 10);
    const held = await holdRow(life.service, parent.id);
    // Expand skips a parent that somebody holds; the flag waits for it, so none is added after the flag.
    expect(await expand(life.deps, 10)).toMatchObject({ expanded: 0 });
    const flagging = life.service.database.transaction((tx) => requestCancel(tx, [parent.id], "requested"));
    await held.waiter(1);
    await held.release();
    await flagging;
    await Promise.all([
      life.supervise(),
      life.supervise(sibling.deps),
      expand(life.deps, 10),
      expand(sibling.deps, 10),
    ]);
    expect(await life.run(parent.id)).toMatchObject({ status: "cancelled", child_total: 10, child_cancelled: 10 });
  });
});

describe("ends of many children", () => {
  test("two batches on the same parents at once lose no count and never deadlock", async () => {
    const parents = [await parentOf(60), await parentOf(60)];
    await life.handOver();
    const all = await children();
    const say = (child: RunRow, index: number) => delivery(child, index % 3 === 0 ? "skipped" : "completed");
    for (let from = 0; from < all.length; from += 20) {
      const batch = all.slice(from, from + 20).map(say);
      // Interleaved over both parents, from both instances; a third one sends the same again.
      await Promise.all([
        ingest(life.deps, batch.slice(0, 10)),
        ingest(sibling.deps, batch.slice(10)),
        ingest(life.deps, [...batch].reverse()),
      ]);
    }
    for (const parent of parents) {
      const { row, real } = await counted(parent.id);
      expect(row).toEqual(real);
      expect((await life.run(parent.id)).status).toBe("completed");
    }
  });

  test("10,000 children: made, published and ended, with the counters right", { timeout: 60_000 }, async () => {
    const parent = await parentOf(10_000);
    const took: Record<string, number> = {};
    const timed = async (name: string, work: () => Promise<unknown>) => {
      const began = performance.now();
      await work();
      took[name] = Math.round(performance.now() - began);
    };
    await timed("expand", async () => {
      while ((await expand(life.deps)).full);
    });
    expect(await life.run(parent.id)).toMatchObject({ status: "running", child_expanded: 10_000 });
    await timed("dispatch", async () => {
      const published = [];
      for (;;) {
        const result = await dispatch(life.deps);
        published.push(result.published);
        if (!result.full) break;
      }
      await Promise.all(published);
      await life.consumer.received(10_000, 30_000);
    });
    const ids = new Set(life.consumer.triggers.map(({ data }) => data.run_id));
    expect(ids.size).toBe(10_000);
    expect(ids.has(parent.id)).toBe(false);
    const reports = [...ids].map((id, index) => delivery({ id }, index === 77 ? "skipped" : "completed"));
    await timed("ingest", async () => {
      for (let from = 0; from < reports.length; from += 500) await ingest(life.deps, reports.slice(from, from + 500));
    });
    expect(await life.run(parent.id)).toMatchObject({
      ...{ status: "completed", result: { total: 10_000, completed: 9_999, failed: 0, cancelled: 0, skipped: 1 } },
    });
    console.log("10,000 children, ms:", took);
  });
});
