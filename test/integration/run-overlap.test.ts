import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { affectedByEnds } from "../../src/database/waiting-runs.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { occurrenceRunId } from "../../src/schedule/run-id.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";
import { holdSession } from "../support/row-lock.ts";
import type { TestService } from "../support/service.ts";

let life: Life;
let sibling: TestService;
beforeAll(async () => {
  life = await startLife();
  sibling = await life.service.sibling("test-2");
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const s = (seconds: number) => NOON + seconds * 1_000;

/** Due every minute; its first occurrence, at one minute past noon, has been fired and handed over. */
async function minutely(overlap: string, columns: Record<string, unknown> = {}) {
  const id = await life.schedule({ kind: "cron", cron_expression: "* * * * *", overlap, ...columns });
  await minute(1);
  return id;
}

async function minute(n: number) {
  await life.at(n * 60);
  await life.fire();
  await life.handOver();
}

const statuses = async () => (await life.runs()).map(({ status, status_reason }) => status_reason ?? status);

describe("overlap", () => {
  test("allow: every occurrence runs", async () => {
    await minutely("allow");
    await minute(2);
    await minute(3);
    expect(await statuses()).toEqual(["dispatched", "dispatched", "dispatched"]);
  });

  test("skip: an occurrence that finds one unfinished leaves its row", async () => {
    const id = await minutely("skip");
    const [first] = await life.runs();
    await minute(2);
    expect(await statuses()).toEqual(["dispatched", "overlap"]);
    expect((await life.runs())[1]).toMatchObject({ status: "skipped", completed_at: s(120), deadline_at: null });
    await life.say(first!, "completed");
    await minute(3);
    expect(await statuses()).toEqual(["completed", "overlap", "dispatched"]);
    expect((await life.trigger(id)).status_reason).toBe("overlap");
  });

  test("skip: a run in retry backoff holds its place", async () => {
    await minutely("skip", { retry_backoff_seconds: 600 });
    await life.say((await life.runs())[0]!, "failed");
    await minute(2);
    expect(await statuses()).toEqual(["retry", "overlap"]);
  });

  test("buffer_one: one waits, the others are skipped; it goes when the first has ended", async () => {
    await minutely("buffer_one");
    await minute(2);
    await minute(3);
    const [first, second] = await life.runs();
    expect(await statuses()).toEqual(["dispatched", "buffered", "overlap"]);
    await life.at(200);
    await life.say(first!, "completed");
    expect(await life.run(second!.id)).toMatchObject({ status: "pending", available_at: s(200) });
    await life.handOver();
    await life.trigger_of(second!);
    await minute(4);
    expect(await statuses()).toEqual(["completed", "dispatched", "overlap", "buffered"]);
  });

  test("buffer_all: all wait, and go one after the other in order, whatever end the one before takes", async () => {
    await minutely("buffer_all", { max_attempts: 1 });
    for (const n of [2, 3, 4]) await minute(n);
    const runs = await life.runs();
    for (const [index, end] of ["completed", "failed", "skipped", "cancelled"].entries()) {
      expect((await statuses())[index]).toBe("dispatched");
      await life.say(runs[index]!, end);
      await life.handOver();
    }
    expect((await life.runs()).map(({ status }) => status)).toEqual(["completed", "failed", "skipped", "cancelled"]);
  });

  test("cancel_previous: the newest wins, those between are superseded, the consumer is asked to stop", async () => {
    await minutely("cancel_previous");
    const [first] = await life.runs();
    await life.say(first!, "started");
    await minute(2);
    await minute(3);
    expect(await statuses()).toEqual(["running", "superseded", "buffered"]);
    await life.supervise();
    const [asked] = await life.relayed("control", 1);
    expect(asked?.data).toMatchObject({ run_id: first!.id, reason: "superseded" });
    await life.say(first!, "cancelled");
    await life.handOver();
    expect(await statuses()).toEqual(["superseded", "superseded", "dispatched"]);
    expect((await life.runs())[0]).toMatchObject({ status: "cancelled" });
  });

  test("a wait ends at its start deadline", async () => {
    await minutely("buffer_all", { start_deadline_seconds: 90 });
    await minute(2);
    await life.say((await life.runs())[0]!, "started");
    await life.at(120 + 90);
    await life.supervise();
    expect(await statuses()).toEqual(["running", "overlap"]);
  });

  test("changed while runs wait: those already waiting still go one at a time", async () => {
    const id = await minutely("buffer_all");
    await minute(2);
    await minute(3);
    await life.service.rows(
      "UPDATE schedules SET overlap = 'allow', next_run_at = NULL, enabled = false WHERE id = $1",
      [id],
    );
    const { plan } = await import("../../src/passes/plan.ts");
    await plan(life.deps);
    await life.supervise();
    expect(await statuses()).toEqual(["dispatched", "buffered", "buffered"]);
    await life.say((await life.runs())[0]!, "completed");
    expect(await statuses()).toEqual(["completed", "pending", "buffered"]);
  });
});

describe("the previous run ends between fire's look and its commit", () => {
  test("the waiting run is released all the same", async () => {
    const id = await minutely("buffer_all");
    const [first] = await life.runs();
    await life.at(120);
    // Somebody holds the new run's id: fire has looked (busy) and decided (wait), and stands before its insert.
    const held = await holdSession(life.service);
    const second = occurrenceRunId(id, s(120));
    await held.client.query(
      `INSERT INTO runs (id, action, action_version, trigger_type, scheduled_for) VALUES ($1, 'x', 1, 'manual', now())`,
      [second],
    );
    const firing = life.fire();
    await held.waiter(1);
    await ingest(life.deps, [delivery(first!, "completed")]);
    expect(await affected(id)).toEqual([]);
    await held.client.query("ROLLBACK");
    await held.release();
    await firing;
    expect(await life.run(second)).toMatchObject({ status: "pending", status_reason: null });
  });

  test("a release that was lost to a crash is made good by supervise", async () => {
    await minutely("buffer_all");
    await minute(2);
    const [first, second] = await life.runs();
    // The end is committed, and the process dies before it releases anything.
    await life.service.rows(
      "UPDATE runs SET status = 'completed', completed_at = now(), deadline_at = NULL WHERE id = $1",
      [first!.id],
    );
    await life.supervise();
    expect((await life.run(second!.id)).status).toBe("pending");
  });

  const affected = (id: string) => life.service.database.transaction((tx) => affectedByEnds(tx, [id], [id]));
});

describe("two instances at once", () => {
  test("triggers and due occurrences of one exclusive schedule: one runs, the others say why not", async () => {
    const id = await life.schedule({ kind: "cron", cron_expression: "* * * * *", overlap: "skip" });
    await life.at(60);
    sibling.setNow(s(60));
    const { insertScheduleRun } = await import("../../src/database/schedule-runs.ts");
    const trigger = (service: TestService) =>
      service.database.transaction((tx) => insertScheduleRun(tx, id, { trigger_type: "manual", triggered_by: "t" }));
    await Promise.all([
      ...Array.from({ length: 10 }, (_, index) => trigger(index % 2 === 0 ? life.service : sibling)),
      life.fire(),
      life.fire(sibling.deps),
    ]);
    // Fire leaves a schedule alone that somebody holds, and comes back for it.
    await life.at(61);
    await life.fire();
    const runs = await life.runs();
    expect(runs).toHaveLength(11);
    expect(runs.filter(({ status }) => status !== "skipped")).toHaveLength(1);
  });

  test("both release: one waiting run goes, and only one", async () => {
    const id = await life.schedule({ overlap: "buffer_all" });
    const runs = [];
    for (let index = 0; index < 5; index += 1) {
      await life.at(index);
      runs.push(await life.trigger(id));
    }
    await life.handOver();
    const { releaseWaiting } = await import("../../src/passes/release.ts");
    await life.service.rows(
      "UPDATE runs SET status = 'completed', completed_at = now(), deadline_at = NULL WHERE id = $1",
      [runs[0]!.id],
    );
    await Promise.all(
      Array.from({ length: 6 }, (_, index) => releaseWaiting(index % 2 === 0 ? life.deps : sibling.deps, [id])),
    );
    expect(await statuses()).toEqual(["completed", "pending", "buffered", "buffered", "buffered"]);
  });
});
