import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { viewSchedule } from "../../src/database/schedule-queries.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { fire } from "../../src/passes/fire.ts";
import { plan } from "../../src/passes/plan.ts";
import { occurrenceRunId } from "../../src/schedule/run-id.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  service.setNow("2026-03-01T09:30:30Z");
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE runs, leases, outbox, requests, breakers, run_attempts, instances, settings, audit");
  await service.rows("UPDATE pools SET max_in_flight = NULL, drained = false");
  await alive();
});

/** An instance that has given a sign of life by the test's clock. */
const alive = (broker = "ready") =>
  service.rows(
    `INSERT INTO instances (id, version, broker, last_seen_at) VALUES ('one', '1', $1, pocketwatch_now())
     ON CONFLICT (id) DO UPDATE SET broker = excluded.broker, last_seen_at = excluded.last_seen_at`,
    [broker],
  );

async function fireAt(instant: string): Promise<void> {
  service.setNow(instant);
  await alive();
  await (await fire(service.deps)).published;
}

/** A hand-made run; pg_typeof-safe defaults. */
const addRun = (columns: Record<string, unknown>) => {
  const row = {
    action: "scout.trigger",
    action_version: 1,
    trigger_type: "manual",
    scheduled_for: "2026-03-01T09:30Z",
    ...columns,
  };
  const names = Object.keys(row);
  return service.rows<{ id: string }>(
    `INSERT INTO runs (${names.join(", ")}) VALUES (${names.map((_, index) => `$${index + 1}`).join(", ")}) RETURNING id`,
    Object.values(row),
  );
};

describe("schedule_overview", () => {
  const overview = () => service.rows<Record<string, unknown>>("SELECT * FROM schedule_overview ORDER BY name");

  test("says in words when each is due and how it is", async () => {
    await service.rows("INSERT INTO pools (name) VALUES ('gpu') ON CONFLICT DO NOTHING");
    await addSchedule(service, { name: "a cron", cron_expression: "0 9 * * 1-5", timezone: "Europe/Berlin" });
    await addSchedule(service, { name: "b interval", kind: "interval", interval_seconds: 5_400 });
    await addSchedule(service, { name: "c once", kind: "once", run_at: "2026-04-01T12:00:00Z" });
    const daily = { times: ["06:00", "22:00:00"], start_day: "2026-01-01" };
    const weekly = { times: ["06:00"], days_of_week: ["monday", "friday"] };
    const monthly = { times: ["06:00"], days_of_month: [1, 15, -1], end_day: "2027-01-01" };
    await addSchedule(service, { name: "d daily", kind: "calendar", calendar: daily });
    await addSchedule(service, { name: "e weekly", kind: "calendar", calendar: weekly, timezone: "Asia/Tokyo" });
    await addSchedule(service, { name: "f monthly", kind: "calendar", calendar: monthly });
    const id = await addSchedule(service, { name: "g manual", kind: "manual", webhook_pattern: "deploys/*" });
    await addSchedule(service, { name: "h event", kind: "event", depends_on: [id] });
    await addSchedule(service, { name: "i signal", kind: "event", channel_pattern: "deploy.#" });
    await plan(service.deps);
    expect((await overview()).map((row) => [row.name, row.timing, row.state, row.note])).toEqual([
      ["a cron", "cron 0 9 * * 1-5 (Europe/Berlin)", "active", null],
      ["b interval", "every 01:30:00", "active", null],
      ["c once", "once at 2026-04-01 12:00:00+00", "active", null],
      ["d daily", "06:00, 22:00:00 daily from 2026-01-01 (UTC)", "active", null],
      ["e weekly", "06:00 on monday, friday (Asia/Tokyo)", "active", null],
      ["f monthly", "06:00 on days 1, 15, -1 to 2027-01-01 (UTC)", "active", null],
      ["g manual", "by hand, webhook deploys/*", "active", null],
      ["h event", "after what it depends on", "active", null],
      ["i signal", "on a signal, channel deploy.#", "active", null],
    ]);
  });

  test("has a state for every schedule, the same that HTTP answers", async () => {
    await addSchedule(service, { name: "active" });
    await addSchedule(service, { name: "disabled", enabled: false });
    await addSchedule(service, { name: "paused", paused_until: "infinity", pause_note: "maintenance" });
    await addSchedule(service, { name: "paused until", paused_until: "2026-03-01T12:00:00Z" });
    await addSchedule(service, { name: "paused no more", paused_until: "2026-03-01T09:00:00Z" });
    await addSchedule(service, { name: "problem", enabled: false, cron_expression: "bad" });
    await addSchedule(service, { name: "finished", max_runs: 1 });
    await addSchedule(service, { name: "ended", ends_at: "2026-02-01T00:00:00Z" });
    await plan(service.deps);
    await fireAt("2026-03-01T09:31:00Z");
    await addSchedule(service, { name: "new" });
    const rows = await overview();
    expect(rows.map((row) => [row.name, row.state, row.note])).toEqual([
      ["active", "active", null],
      ["disabled", "disabled", null],
      ["ended", "finished", null],
      ["finished", "finished", null],
      ["new", "active", "edited, to be planned"],
      ["paused", "paused", "until resumed: maintenance"],
      ["paused no more", "active", null],
      ["paused until", "paused", "until 2026-03-01 12:00:00+00"],
      ["problem", "problem", expect.stringContaining("cron_expression: ")],
    ]);
    for (const row of rows) {
      const view = await service.database.transaction((tx) => viewSchedule(tx, row.id as string));
      expect(view?.state, String(row.name)).toBe(row.state);
    }
  });

  test("tells of the last run, and how late it was, retries or not", async () => {
    await addSchedule(service, { name: "it", jitter_seconds: 0 });
    await plan(service.deps);
    await fireAt("2026-03-01T09:31:02.500Z");
    const late =
      "SELECT last_run_status AS status, last_run_lateness::text AS lateness, last_run_at FROM schedule_overview";
    const last_run_at = Date.parse("2026-03-01T09:31:02.500Z");
    expect(await service.rows(late)).toEqual([{ status: "dispatched", lateness: "00:00:02.5", last_run_at }]);
    await service.rows(
      `INSERT INTO run_attempts (run_id, attempt, status, status_reason, dispatched_at)
       SELECT id, 1, 'failed', 'error', dispatched_at FROM runs`,
    );
    await service.rows("UPDATE runs SET attempt = 2, dispatched_at = dispatched_at + interval '1 hour'");
    expect(await service.rows(late)).toMatchObject([{ lateness: "00:00:02.5" }]);
  });

  test("is not broken by a row that is", async () => {
    await addSchedule(service, {
      name: "odd",
      kind: "calendar",
      timezone: "Europe/Atlantis",
      calendar: "not an object",
      paused_until: "12000-01-01",
      starts_at: "-infinity",
    });
    await addSchedule(service, { name: "odd interval", kind: "interval", interval_seconds: -5 });
    await addSchedule(service, { name: "odd once", kind: "once", run_at: "infinity" });
    await plan(service.deps);
    await service.rows("UPDATE schedules SET next_run_at = '-infinity', needs_planning = name = 'odd'");
    expect(await overview()).toHaveLength(3);
    expect(await service.rows("SELECT * FROM due_now")).toHaveLength(3);
  });
});

describe("run_history", () => {
  const history = () => service.rows<Record<string, unknown>>("SELECT * FROM run_history ORDER BY run_id");

  test("shows what became of occurrences", async () => {
    await addSchedule(service, { name: "it", max_attempts: 5 });
    await plan(service.deps);
    await fireAt("2026-03-01T09:33:01Z");
    await service.rows(
      `UPDATE runs SET status = 'failed', status_reason = 'timeout', error_code = 'E7', error_message = 'too slow',
         started_at = '2026-03-01T09:33:02Z', completed_at = '2026-03-01T09:35:02Z', worker = '/agents/7',
         metrics = '{"seen": 4}', progress = 40
       WHERE status = 'dispatched'`,
    );
    expect(await history()).toMatchObject([
      {
        schedule: "it",
        action: "scout.trigger v1",
        status: "skipped",
        reason: "missed",
        scheduled_for: Date.parse("2026-03-01T09:31:00Z"),
        lateness: null,
        duration: null,
        result: { count: 2 },
      },
      {
        status: "failed",
        reason: "timeout",
        attempt: 1,
        max_attempts: 5,
        error: "E7: too slow",
        worker: "/agents/7",
        metrics: { seen: 4 },
        progress: 40,
        trigger_type: "scheduled",
        triggered_by: "it",
        children: null,
      },
    ]);
    expect(
      await service.rows("SELECT lateness::text, duration::text FROM run_history WHERE status = 'failed'"),
    ).toEqual([{ lateness: "00:00:01", duration: "00:02:00" }]);
    service.setNow("2026-03-01T09:40:02Z");
    await service.rows("UPDATE runs SET status = 'running', completed_at = NULL WHERE status = 'failed'");
    expect(await service.rows("SELECT duration::text FROM run_history WHERE status = 'running'")).toEqual([
      { duration: "00:07:00" },
    ]);
  });

  test("counts the children of a run with targets", async () => {
    await addRun({ child_total: 12, child_expanded: 12, child_completed: 9, child_failed: 1, child_skipped: 0 });
    expect((await history()).map((row) => row.children)).toEqual(["12 in all, 9 completed, 1 failed"]);
  });
});

describe("due_now", () => {
  const due = async () => {
    const rows = await service.rows<Record<string, unknown>>("SELECT * FROM due_now ORDER BY schedule, why");
    return rows.map((row) => [row.schedule, row.why]);
  };

  test("is empty while there is nothing to do", async () => {
    await addSchedule(service, { name: "ahead" });
    await addSchedule(service, { name: "paused", paused_until: "infinity" });
    await plan(service.deps);
    await addRun({ status: "completed" });
    await addRun({ status: "running" });
    expect(await due()).toEqual([]);
  });

  test("schedules: edited, due", async () => {
    await addSchedule(service, { name: "due" });
    await addSchedule(service, { name: "edited" });
    await plan(service.deps);
    service.setNow("2026-03-01T09:31:10Z");
    await service.rows("UPDATE schedules SET description = 'x' WHERE name = 'edited'");
    expect(
      await service.rows("SELECT schedule, run_id, due_at, overdue::text, pool, priority, why FROM due_now ORDER BY 1"),
    ).toEqual([
      {
        schedule: "due",
        run_id: null,
        due_at: Date.parse("2026-03-01T09:31:00Z"),
        overdue: "00:00:10",
        pool: "scouts",
        priority: 2,
        why: "to be fired",
      },
      expect.objectContaining({ schedule: "edited", why: "edited at 2026-03-01 09:31:10+00, to be planned" }),
    ]);
  });

  test("pending runs: backoff, jitter, pools, drains, the broker", async () => {
    const pending = (schedule_name: string, columns: Record<string, unknown> = {}) =>
      addRun({
        schedule_name,
        status: "pending",
        policy: { max_attempts: 3 },
        available_at: "2026-03-01T09:30Z",
        ...columns,
      });
    const later = { available_at: "2026-03-01T09:40Z" };
    await service.rows(
      `INSERT INTO pools (name, max_in_flight, drained) VALUES ('full', 2, false), ('drained', NULL, true), ('roomy', 3, false)
       ON CONFLICT (name) DO UPDATE SET max_in_flight = excluded.max_in_flight, drained = excluded.drained`,
    );
    for (const pool of ["full", "full", "roomy", "roomy"]) await addRun({ status: "running", pool });
    await pending("a retry", { ...later, status_reason: "retry", attempt: 2 });
    await pending("b unroutable", { ...later, status_reason: "unroutable", error_message: "no queue is bound" });
    await pending("c jitter", { ...later, status_reason: "jitter" });
    await pending("d full", { pool: "full" });
    await pending("e drained", { pool: "drained" });
    await pending("f roomy", { pool: "roomy" });
    await pending("g nowhere", { pool: "nowhere" });
    await pending("h cancelled", { cancel_requested_at: "2026-03-01T09:30Z" });
    await pending("i parent", { child_total: 10, child_expanded: 0 });
    expect(await due()).toEqual([
      ["a retry", "attempt 2 of 3 is in backoff until 2026-03-01 09:40:00+00"],
      ["b unroutable", "the broker did not take it (no queue is bound), is in backoff until 2026-03-01 09:40:00+00"],
      ["c jitter", "jitter until 2026-03-01 09:40:00+00"],
      ["d full", "pool full is full (2 of 2 in flight)"],
      ["e drained", "pool drained is drained"],
      ["f roomy", "to be handed to the broker"],
      ["g nowhere", "there is no pool nowhere"],
      ["i parent", "its targets are being expanded (0 of 10)"],
    ]);
    await alive("connecting");
    expect((await due())[5]).toEqual(["f roomy", "the broker is away"]);
    await service.rows("INSERT INTO settings (key, value) VALUES ('drained', 'true')");
    expect((await due())[5]).toEqual(["f roomy", "the scheduler is drained"]);
    service.setNow("2026-03-01T09:35:00Z");
    expect(new Set((await due()).slice(3).map(([, why]) => why))).toEqual(
      new Set(["no instance of the service is running (last heard of: 2026-03-01 09:30:30+00)"]),
    );
  });

  test("waiting runs: overlap, dependencies, breakers", async () => {
    const first = await addSchedule(service, { name: "first" });
    const second = await addSchedule(service, { name: "second" });
    const id = await addSchedule(service, { name: "third", overlap: "buffer_all", depends_on: [second, first] });
    await plan(service.deps);
    await service.rows("UPDATE schedules SET next_run_at = NULL");
    const [busy] = await addRun({ schedule_id: id, exclusive: true, status: "running" });
    const waiting = { schedule_id: id, schedule_name: "third", status: "waiting" };
    await addRun({ ...waiting, status_reason: "buffered", policy: { overlap: "buffer_all" } });
    await addRun({ ...waiting, status_reason: "blocked" });
    await service.rows(
      `INSERT INTO breakers (key, action, threshold, cooldown_seconds, state, opened_at)
       VALUES ('crawl.run:example.com', 'crawl.run', 5, 60, 'open', '2026-03-01T09:30Z')`,
    );
    await addRun({
      schedule_name: "breaking",
      status: "waiting",
      status_reason: "breaker_open",
      breaker_key: "crawl.run:example.com",
    });
    await addRun({
      schedule_name: "parent's child",
      parent_run_id: busy!.id,
      status: "waiting",
      status_reason: "breaker_open",
    });
    expect(await due()).toEqual([
      ["breaking", "circuit breaker crawl.run:example.com is open until 2026-03-01 09:31:00+00"],
      ["parent's child", expect.stringContaining("circuit breaker")],
      ["third", `overlap buffer_all: waits for the end of run ${busy!.id}`],
      ["third", "waits until each has completed: first, second"],
    ]);
  });

  test("hand-overs that were cut off", async () => {
    const id = await addSchedule(service, { name: "it" });
    await plan(service.deps);
    await fireAt("2026-03-01T09:31:00Z");
    expect(await due()).toEqual([]);
    const run = occurrenceRunId(id, Date.parse("2026-03-01T09:31:00Z"));
    await service.rows(
      "INSERT INTO leases (instance, run_ids, lease_until) VALUES ('two', $1, '2026-03-01T09:31:05Z')",
      [[run]],
    );
    expect(await due()).toEqual([["it", "being handed to the broker by two"]]);
    service.setNow("2026-03-01T09:31:10Z");
    expect(await due()).toEqual([
      ["it", "being handed to the broker by two, which has not finished: to be handed over again"],
    ]);
  });

  test("what dispatch would take is what it shows as to be handed over", async () => {
    await addRun({ status: "pending", available_at: "2026-03-01T09:30Z", payload: { source: "s", max_strategies: 1 } });
    expect(await due()).toEqual([[null, "to be handed to the broker"]]);
    const { dispatched, published } = await dispatch(service.deps);
    await published;
    expect(dispatched).toBe(1);
    expect(await due()).toEqual([]);
  });
});

test("the views stay cheap: they read indexes, not the history", async () => {
  await service.rows(
    `INSERT INTO runs (schedule_name, action, action_version, trigger_type, scheduled_for, status, completed_at)
     SELECT 'old', 'scout.trigger', 1, 'manual', now() - n * interval '1 minute', 'completed', now()
     FROM generate_series(1, 20000) AS n`,
  );
  await service.rows("ANALYZE runs");
  const plans = async (text: string) =>
    (await service.rows<{ "QUERY PLAN": string }>(`EXPLAIN ${text}`)).map((row) => row["QUERY PLAN"]).join("\n");
  for (const text of [
    "SELECT * FROM due_now",
    "SELECT * FROM schedule_overview WHERE name = 'it'",
    "SELECT * FROM run_history ORDER BY run_id DESC LIMIT 20",
    "SELECT * FROM run_history WHERE schedule_id = (SELECT id FROM schedules WHERE name = 'it') ORDER BY run_id DESC LIMIT 20",
  ]) {
    expect(await plans(text), text).not.toContain("Seq Scan on runs");
  }
});
