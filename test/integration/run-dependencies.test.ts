import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { lockWaiters, waitingFacts } from "../../src/database/waiting-runs.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";
import type { TestService } from "../support/service.ts";

let life: Life;
let sibling: TestService;
beforeAll(async () => {
  life = await startLife();
  sibling = await life.service.sibling("test-2");
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const HOUR = 3_600;

/** The schedule's run, now, from its trigger to its end. */
async function runs(schedule: string, status = "completed") {
  const run = await life.trigger(schedule);
  await life.handOver();
  await life.say(run, status);
}

async function hour(n: number) {
  await life.at(n * HOUR);
  await life.fire();
  await life.handOver();
}

/** Every dependency's last completion as the release sees it. */
const lastCompleted = (dependent: string) =>
  life.service.database.transaction(async (tx) => {
    const { completed } = await waitingFacts(tx, await lockWaiters(tx, [dependent]));
    return completed;
  });

const statuses = async (schedule: string) =>
  (await life.runs(`schedule_id = '${schedule}'`)).map(({ status, status_reason }) => status_reason ?? status);

describe("a timed schedule", () => {
  const hourly = (depends_on: string[], columns: Record<string, unknown> = {}) =>
    life.schedule({ kind: "cron", cron_expression: "0 * * * *", depends_on, ...columns });

  test("waits until each dependency has completed since its previous occurrence", async () => {
    const [a, b] = [await life.schedule({ max_attempts: 1 }), await life.schedule()];
    const dependent = await hourly([a, b]);
    await hour(1);
    expect(await statuses(dependent)).toEqual(["blocked"]);
    await runs(a, "failed");
    await runs(b);
    await life.supervise();
    expect(await statuses(dependent)).toEqual(["blocked"]);
    await life.at(HOUR + 60);
    await runs(a);
    const [run] = await life.runs(`schedule_id = '${dependent}'`);
    expect(run).toMatchObject({ status: "pending", available_at: NOON + (HOUR + 60) * 1_000 });
    await life.handOver();
    await life.say(run!, "completed");

    // By two o'clock both have completed since one o'clock; by three only b has since two.
    await life.at(1.5 * HOUR);
    await runs(b);
    await hour(2);
    expect(await statuses(dependent)).toEqual(["completed", "dispatched"]);
    await life.at(2.5 * HOUR);
    await runs(b);
    await hour(3);
    expect(await statuses(dependent)).toEqual(["completed", "dispatched", "blocked"]);
    await runs(a);
    expect(await statuses(dependent)).toEqual(["completed", "dispatched", "pending"]);
  });

  test("that completed before the occurrence, but after the previous one, holds nothing up", async () => {
    const a = await life.schedule();
    const dependent = await hourly([a]);
    await life.at(60);
    await runs(a);
    await hour(1);
    expect(await statuses(dependent)).toEqual(["dispatched"]);
  });

  test("hourly on daily: those that came meanwhile are not released at once", async () => {
    const daily = await life.schedule();
    const dependent = await hourly([daily], { overlap: "skip" });
    for (let n = 1; n <= 5; n += 1) await hour(n);
    expect(await statuses(dependent)).toEqual(["blocked", "overlap", "overlap", "overlap", "overlap"]);
    await runs(daily);
    await life.handOver();
    expect((await statuses(dependent))[0]).toBe("dispatched");
    const all = await life.schedule({
      overlap: "buffer_all",
      kind: "cron",
      cron_expression: "0 * * * *",
      depends_on: [daily],
    });
    for (let n = 6; n <= 9; n += 1) await hour(n);
    await runs(daily);
    await life.supervise();
    expect(await statuses(all)).toEqual(["pending", "buffered", "buffered", "buffered"]);
  });

  test("a wait ends at its start deadline as skipped: dependency", async () => {
    const a = await life.schedule();
    const dependent = await hourly([a], { start_deadline_seconds: 600 });
    await hour(1);
    await life.at(HOUR + 600);
    await life.supervise();
    expect(await statuses(dependent)).toEqual(["dependency"]);
    expect((await life.runs(`schedule_id = '${dependent}'`))[0]).toMatchObject({ status: "skipped" });
  });

  test("a wake-up that was lost is made good by supervise", async () => {
    const a = await life.schedule();
    const dependent = await hourly([a]);
    await hour(1);
    const run = await life.trigger(a);
    await life.service.rows(
      "UPDATE runs SET status = 'completed', completed_at = now(), deadline_at = NULL WHERE id = $1",
      [run.id],
    );
    expect(await statuses(dependent)).toEqual(["blocked"]);
    await life.supervise();
    expect(await statuses(dependent)).toEqual(["pending"]);
  });
});

describe("an event schedule", () => {
  const on = (depends_on: string[], columns: Record<string, unknown> = {}) =>
    life.schedule({ kind: "event", depends_on, ...columns });

  test("fires once when all have completed, and again when all have anew", async () => {
    const [a, b] = [await life.schedule(), await life.schedule()];
    const event = await on([a, b]);
    await life.at(1);
    await runs(a);
    await runs(a);
    expect(await statuses(event)).toEqual([]);
    await life.at(2);
    await runs(b);
    expect((await life.runs(`schedule_id = '${event}'`))[0]).toMatchObject({
      ...{ status: "pending", trigger_type: "dependency" },
    });
    await life.supervise();
    await life.at(3);
    await runs(b);
    await life.supervise();
    expect(await statuses(event)).toHaveLength(1);
    await life.at(4);
    await runs(a);
    expect(await statuses(event)).toHaveLength(2);
  });

  test("dependencies that complete at the same moment on two instances fire it once", async () => {
    for (let round = 0; round < 10; round += 1) {
      await life.reset();
      const [a, b] = [await life.schedule(), await life.schedule()];
      const event = await on([a, b]);
      await life.at(1);
      sibling.setNow(life.now());
      const [first, second] = [await life.trigger(a), await life.trigger(b)];
      await life.handOver();
      await Promise.all([
        ingest(life.deps, [delivery(first, "completed")]),
        ingest(sibling.deps, [delivery(second, "completed")]),
      ]);
      expect(await statuses(event)).toHaveLength(1);
    }
  });

  test("that is skipped for overlap has used the completions up", async () => {
    const a = await life.schedule();
    const event = await on([a], { overlap: "skip" });
    await life.at(1);
    await runs(a);
    await life.at(2);
    await runs(a);
    for (let n = 0; n < 3; n += 1) await life.supervise();
    expect(await statuses(event)).toEqual(["dispatched", "overlap"]);
  });

  test("does not fire while it is disabled or paused", async () => {
    const a = await life.schedule();
    const event = await on([a], { paused_until: "2026-03-01T13:00:00Z" });
    await life.at(1);
    await runs(a);
    await life.supervise();
    expect(await statuses(event)).toEqual([]);
    await life.at(HOUR + 1);
    await life.supervise();
    expect(await statuses(event)).toHaveLength(1);
  });
});

describe("a dependency's last completion", () => {
  // Ids begin with any instant of two days, completions come seconds to hours after it, before and after each other's.
  test("is found however long after its id's instant it came, and whatever ended before and after", async () => {
    const dependencies = await Promise.all(Array.from({ length: 40 }, () => life.schedule()));
    const dependent = await life.schedule({ kind: "event", depends_on: dependencies });
    await life.service.rows(
      `INSERT INTO runs (id, schedule_id, action, action_version, trigger_type, scheduled_for, status, parent_run_id, completed_at)
       SELECT (lpad(to_hex((extract(epoch FROM o.at) * 1000)::bigint), 12, '0') || substr(md5(random()::text), 1, 20))::uuid,
         o.schedule, 'test.plain', 1, 'scheduled', o.at,
         (ARRAY['completed', 'completed', 'failed', 'skipped', 'cancelled'])[1 + floor(random() * 5)::int],
         CASE WHEN random() < 0.1 THEN gen_random_uuid() END,
         o.at + (10 ^ (random() * 5)) * interval '1 second'
       FROM (SELECT schedule, now() - random() * interval '2 days' AS at
             FROM unnest($1::uuid[]) AS schedule, generate_series(1, 60)) AS o`,
      [dependencies],
    );
    const rows = await life.service.rows<{ id: string; at: number | null; late: boolean }>(
      `SELECT d.id, max(r.completed_at) AS at,
         (array_agg(r.completed_at - pocketwatch_id_instant(r.id) > interval '10 minutes' ORDER BY r.completed_at DESC))[1] AS late
       FROM unnest($1::uuid[]) AS d (id)
       LEFT JOIN runs r ON r.schedule_id = d.id AND r.status = 'completed' AND r.parent_run_id IS NULL GROUP BY d.id`,
      [dependencies],
    );
    expect(new Set(rows.map(({ late }) => late)).size).toBeGreaterThan(1);
    expect(await lastCompleted(dependent)).toEqual(new Map(rows.map(({ id, at }) => [id, at])));
  });
});
