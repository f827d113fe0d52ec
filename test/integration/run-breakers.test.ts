import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { resetBreaker } from "../../src/database/breakers.ts";
import { requestCancel } from "../../src/database/waiting-runs.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";
import { holdRow } from "../support/row-lock.ts";
import type { TestService } from "../support/service.ts";

let life: Life;
let sibling: TestService;
beforeAll(async () => {
  life = await startLife("test.host", "test.node", "test.plain");
  sibling = await life.service.sibling("test-2");
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const s = (seconds: number) => NOON + seconds * 1_000;
const KEY = "test.host:example.org";
const breakers = () =>
  life.service.rows(
    "SELECT key, action, state, failures, threshold, cooldown_seconds, trips, opened_at, probe_run_id FROM breakers ORDER BY key",
  );
const breaker = async () => (await breakers())[0];

const crawl = (columns: Record<string, unknown> = {}) =>
  life.schedule({ action: "test.host", payload: { url: "https://example.org/a" }, max_attempts: 1, ...columns });

/** One run of the schedule from its trigger to its end. */
async function ends(schedule: string, status: string) {
  const run = await life.trigger(schedule);
  await life.handOver();
  await life.say(run, status);
  return run;
}

async function opened(schedule: string) {
  for (let index = 0; index < 3; index += 1) await ends(schedule, "failed");
  expect(await breaker()).toMatchObject({ state: "open" });
}

async function held(schedule: string) {
  const run = await life.trigger(schedule);
  await life.handOver();
  expect(await life.run(run.id)).toMatchObject({
    status: "waiting",
    status_reason: "breaker_open",
    dispatched_at: null,
  });
  return run;
}

describe("closed", () => {
  test("failures in a row open it, a success in between starts the count anew", async () => {
    const schedule = await crawl();
    for (const status of ["failed", "failed", "completed", "failed", "failed"]) await ends(schedule, status);
    expect(await breaker()).toMatchObject({
      key: KEY,
      action: "test.host",
      state: "closed",
      failures: 2,
      threshold: 3,
    });
    await ends(schedule, "skipped");
    await life.at(7);
    await ends(schedule, "failed");
    expect(await breaker()).toMatchObject({
      ...{ state: "open", failures: 3, trips: 1, opened_at: s(7), cooldown_seconds: 60, probe_run_id: null },
    });
    expect(life.service.woken).toContain("supervise");
  });

  test("each attempt counts, also one that is tried again", async () => {
    const schedule = await crawl({ max_attempts: 3, retry_backoff_seconds: 0 });
    const run = await life.trigger(schedule);
    for (const attempt of [1, 2, 3]) {
      await life.handOver();
      await life.say({ id: run.id, attempt }, "failed");
    }
    expect(await breaker()).toMatchObject({ state: "open", failures: 3 });
  });

  test("what never started says nothing about the host", async () => {
    const schedule = await crawl({ start_deadline_seconds: 10 });
    await life.trigger(schedule);
    await life.handOver();
    await life.at(11);
    await life.supervise();
    expect((await life.runs())[0]).toMatchObject({ status: "failed", status_reason: "not_started" });
    expect(await breakers()).toEqual([]);
  });

  test("hosts have one each, however the URL is written; runs without a key have none", async () => {
    const urls = ["https://a.example/1", "HTTPS://A.example/2?x", "https://b.example/", undefined];
    for (const url of urls) await ends(await crawl({ payload: { url } }), "failed");
    await ends(await life.schedule({ max_attempts: 1 }), "failed");
    expect(await breakers()).toMatchObject([
      { key: "test.host:a.example", failures: 2 },
      { key: "test.host:b.example", failures: 1 },
    ]);
  });

  test("two batches that fail for the first time at once are both counted", async () => {
    const schedule = await crawl();
    const runs = await Promise.all([life.trigger(schedule), life.trigger(schedule)]);
    await life.handOver();
    await Promise.all(runs.map((run, index) => ingest([life.deps, sibling.deps][index]!, [delivery(run, "failed")])));
    expect(await breaker()).toMatchObject({ failures: 2 });
  });
});

describe("open", () => {
  test("holds its runs, out of the queue and out of the lease, and nobody else's", async () => {
    const schedule = await crawl();
    await opened(schedule);
    const run = await held(schedule);
    const other = await life.trigger(await crawl({ payload: { url: "https://other.example/" } }));
    const mixed = await life.trigger(schedule);
    await life.handOver();
    expect((await life.run(mixed.id)).status).toBe("waiting");
    expect((await life.run(other.id)).status).toBe("dispatched");
    await life.trigger_of(other);
    expect(await life.service.rows("SELECT * FROM leases")).toEqual([]);
    expect(life.consumer.triggers.map(({ data }) => data.run_id)).not.toContain(run.id);
  });

  test("what fire finds due does not slip through", async () => {
    await opened(await crawl());
    await crawl({ kind: "cron", cron_expression: "* * * * *" });
    await life.at(59);
    await life.service.rows("UPDATE breakers SET opened_at = $1", [new Date(s(59)).toISOString()]);
    await life.at(60);
    await life.fire();
    await life.handOver();
    expect((await life.runs("trigger_type = 'scheduled'"))[0]).toMatchObject({ status_reason: "breaker_open" });
  });

  test("a wait ends at the start deadline as skipped: overload", async () => {
    const schedule = await crawl({ start_deadline_seconds: 30 });
    await opened(schedule);
    const run = await held(schedule);
    await life.at(30);
    await life.supervise();
    expect(await life.run(run.id)).toMatchObject({ status: "skipped", status_reason: "overload" });
  });

  test("a success of a run that went out before closes it and lets go what it held", async () => {
    const schedule = await crawl();
    const early = await life.trigger(schedule);
    await life.handOver();
    await opened(schedule);
    const waiting = await held(schedule);
    await life.say(early, "completed");
    expect(await breaker()).toMatchObject({ state: "closed", failures: 0, opened_at: null });
    expect((await life.run(waiting.id)).status).toBe("pending");
    expect(life.service.woken).toContain("dispatch");
  });

  test("a release that comes at the moment of a hold forgets nobody", async () => {
    const schedule = await crawl();
    const early = await life.trigger(schedule);
    await life.handOver();
    await opened(schedule);
    const run = await life.trigger(schedule);
    // Dispatch has claimed the run and stands before its look at the breaker; the success stands behind it.
    const lock = await holdRow(life.service, KEY, "breakers", "key");
    const dispatching = life.handOver();
    await lock.waiter(1);
    const closing = ingest(life.deps, [delivery(early, "completed")]);
    await lock.waiter(2);
    await lock.release();
    await Promise.all([dispatching, closing]);
    expect((await life.run(run.id)).status).not.toBe("waiting");
  });
});

describe("the probe", () => {
  test("is the oldest run held, once the cooldown is over; its success lets the others go", async () => {
    const schedule = await crawl();
    await opened(schedule);
    const runs = [];
    for (let index = 0; index < 4; index += 1) {
      await life.at(index);
      runs.push(await held(schedule));
    }
    await life.at(59);
    await life.supervise();
    expect(await breaker()).toMatchObject({ state: "open" });
    await life.at(60);
    await life.supervise();
    expect(await breaker()).toMatchObject({ state: "half_open", probe_run_id: runs[0]!.id });
    await life.handOver();
    const late = await life.trigger(schedule);
    await life.handOver();
    expect((await life.runs("status = 'dispatched'")).map(({ id }) => id)).toEqual([runs[0]!.id]);
    expect((await life.run(late.id)).status_reason).toBe("breaker_open");
    await life.say(runs[0]!, "completed");
    expect(await breaker()).toMatchObject({ state: "closed", probe_run_id: null });
    await life.handOver();
    expect(await life.runs("status = 'waiting'")).toEqual([]);
    expect(await life.runs("status = 'dispatched'")).toHaveLength(4);
  });

  test("that fails opens it again, for another cooldown", async () => {
    const schedule = await crawl();
    await opened(schedule);
    const run = await held(schedule);
    await life.at(60);
    await life.supervise();
    await life.handOver();
    await life.say(run, "failed");
    expect(await breaker()).toMatchObject({ state: "open", trips: 2, opened_at: s(60), probe_run_id: null });
    await life.at(119);
    await life.supervise();
    expect(await breaker()).toMatchObject({ state: "open" });
  });

  test("with none held is the next run to be dispatched", async () => {
    const schedule = await crawl();
    await opened(schedule);
    await life.at(60);
    await life.supervise();
    expect(await breaker()).toMatchObject({ state: "half_open", probe_run_id: null });
    const runs = [await life.trigger(schedule), await life.trigger(schedule)];
    await life.handOver();
    const out = await life.runs("status = 'dispatched'");
    expect(out).toHaveLength(1);
    expect(await breaker()).toMatchObject({ probe_run_id: out[0]!.id });
    expect(runs.map(({ id }) => id)).toContain(out[0]!.id);
  });

  test("that is cancelled frees its place for the next one held", async () => {
    const schedule = await crawl();
    await opened(schedule);
    const first = await held(schedule);
    await life.at(1);
    const second = await held(schedule);
    await life.at(60);
    await life.supervise();
    await life.handOver();
    await life.service.database.transaction((tx) => requestCancel(tx, [first.id], "requested"));
    await life.supervise();
    await life.say(first, "cancelled");
    expect(await breaker()).toMatchObject({ state: "half_open", probe_run_id: null });
    await life.supervise();
    expect(await breaker()).toMatchObject({ state: "half_open", probe_run_id: second.id });
  });

  test("that vanished frees its place", async () => {
    const schedule = await crawl();
    await opened(schedule);
    const first = await held(schedule);
    await life.at(1);
    const second = await held(schedule);
    await life.at(60);
    await life.supervise();
    await life.service.rows("DELETE FROM runs WHERE id = $1", [first.id]);
    await life.supervise();
    expect(await breaker()).toMatchObject({ probe_run_id: second.id });
  });

  test("two instances let one go", async () => {
    const schedule = await crawl();
    await opened(schedule);
    for (let index = 0; index < 5; index += 1) await held(schedule);
    await life.at(60);
    sibling.setNow(s(60));
    await Promise.all([life.supervise(), life.supervise(sibling.deps)]);
    await Promise.all([life.handOver(), life.handOver(sibling.deps)]);
    expect(await life.runs("status = 'dispatched'")).toHaveLength(1);
    expect(await life.runs("status = 'waiting'")).toHaveLength(4);
  });
});

describe("reset", () => {
  test("by the service, by SQL and by deleting it: what it held goes", async () => {
    const resets = [
      () => life.service.database.transaction((tx) => resetBreaker(tx, KEY)),
      () => life.service.rows("UPDATE breakers SET state = 'closed'"),
      () => life.service.rows("DELETE FROM breakers"),
    ];
    for (const reset of resets) {
      await life.reset();
      const schedule = await crawl();
      await opened(schedule);
      const run = await held(schedule);
      await reset();
      await life.supervise();
      expect((await life.run(run.id)).status).toBe("pending");
      await life.handOver();
      await life.say(run, "failed");
      expect(await breaker()).toMatchObject({ state: "closed", failures: 1 });
    }
    expect(await life.service.database.transaction((tx) => resetBreaker(tx, "nobody"))).toBeUndefined();
  });
});

describe("overlap", () => {
  test("a held run keeps its place in the line, and goes first", async () => {
    const schedule = await crawl({ overlap: "buffer_all" });
    const spoiler = await crawl();
    await opened(spoiler);
    const first = await held(schedule);
    await life.at(1);
    const second = await life.trigger(schedule);
    await life.supervise();
    expect(second.status_reason).toBe("buffered");
    await life.at(60);
    await life.supervise();
    await life.handOver();
    expect((await life.run(first.id)).status).toBe("dispatched");
    expect((await life.run(second.id)).status_reason).toBe("buffered");
    await life.say(first, "completed");
    expect((await life.run(second.id)).status).toBe("pending");
  });

  test("skip: an occurrence that finds one held is skipped", async () => {
    const schedule = await crawl({ overlap: "skip" });
    await opened(await crawl());
    await held(schedule);
    expect((await life.trigger(schedule)).status_reason).toBe("overlap");
  });

  test("cancel_previous: the newer one supersedes the one held", async () => {
    const schedule = await crawl({ overlap: "cancel_previous" });
    await opened(await crawl());
    const first = await held(schedule);
    await life.at(1);
    const second = await life.trigger(schedule);
    await life.supervise();
    expect((await life.run(first.id)).status_reason).toBe("superseded");
    await life.handOver();
    expect((await life.run(second.id)).status_reason).toBe("breaker_open");
  });

  test("should the place be taken all the same, a released run waits for it instead of breaking the guard", async () => {
    const schedule = await crawl({ overlap: "buffer_all" });
    await opened(await crawl());
    const first = await held(schedule);
    // Only a hand can do this: a second run in the place that the first one keeps.
    await life.service.rows(
      `INSERT INTO runs (schedule_id, action, action_version, trigger_type, scheduled_for, exclusive, status)
       VALUES ($1, 'test.plain', 1, 'manual', now(), true, 'running')`,
      [schedule],
    );
    await life.service.rows("UPDATE breakers SET state = 'closed'");
    await life.supervise();
    expect(await life.run(first.id)).toMatchObject({ status: "waiting", status_reason: "buffered" });
  });
});

describe("children", () => {
  test("have a breaker per target: one broken machine harms no other", async () => {
    const schedule = await life.schedule({ action: "test.node", targets: ["good", "bad"], max_attempts: 1 });
    for (let round = 0; round < 2; round += 1) {
      await life.at(round);
      const parent = await life.trigger(schedule);
      await life.handOver();
      for (const child of await life.runs(`parent_run_id = '${parent.id}'`)) {
        await life.say(child, child.target === "bad" ? "failed" : "completed");
      }
      expect((await life.run(parent.id)).status_reason).toBe("partial");
    }
    expect(await breakers()).toMatchObject([{ key: "test.node:bad", state: "open", failures: 2, threshold: 2 }]);
    await life.at(5);
    const parent = await life.trigger(schedule);
    await life.handOver();
    const [bad] = await life.runs(`parent_run_id = '${parent.id}' AND target = 'bad'`);
    const [good] = await life.runs(`parent_run_id = '${parent.id}' AND target = 'good'`);
    expect([good!.status, bad!.status_reason]).toEqual(["dispatched", "breaker_open"]);
    await life.say(good!, "completed");
    await life.at(62);
    await life.supervise();
    await life.handOver();
    await life.say(bad!, "completed");
    expect((await life.run(parent.id)).status).toBe("completed");
    expect(await breakers()).toMatchObject([{ state: "closed" }]);
  });
});
