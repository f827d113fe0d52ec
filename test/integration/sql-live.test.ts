import { afterAll, beforeAll, expect, test } from "vitest";
import { startInstance } from "../support/instance.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { waitFor } from "../support/wait-for.ts";

/*
 * The service as it runs, with a poll of a minute: whatever happens here within seconds happens because the edit itself
 * woke it.
 */
let service: TestService;
let instance: Awaited<ReturnType<typeof startInstance>>;

beforeAll(async () => {
  service = await startTestService();
  instance = await startInstance({
    DATABASE_URL: service.url,
    AMQP_URL: service.names.url,
    TOPOLOGY_PREFIX: service.names.prefix,
    POLL_INTERVAL_SECONDS: "60",
  });
});
afterAll(async () => {
  await instance.stop();
  await service.stop();
});

/** The first row, once there is one; long before the poll. */
const soon = (text: string) =>
  waitFor(async () => (await service.rows<Record<string, unknown>>(text))[0], { timeoutMs: 5_000, describe: text });

test("an insert is planned, an edit is planned, a bad one is told and mended at once", async () => {
  await addSchedule(service, { name: "it", cron_expression: "0 0 1 1 *" });
  const first = await soon("SELECT next_run_at FROM schedules WHERE NOT needs_planning");
  expect(new Date(first.next_run_at as number).toISOString()).toMatch(/-01-01T00:00:00.000Z$/);
  await service.rows("UPDATE schedules SET timezone = 'Nowhere/Land'");
  const bad = await soon("SELECT problem FROM schedules WHERE problem IS NOT NULL");
  expect(bad.problem).toContain("timezone: ");
  await service.rows("UPDATE schedules SET timezone = 'Asia/Tokyo'");
  await soon("SELECT FROM schedules WHERE problem IS NULL AND next_run_at IS NOT NULL");
});

test("a trigger asked for with SQL is answered and handed to the broker at once", async () => {
  const [row] = await service.rows<{ id: string }>("SELECT pocketwatch_trigger('it') AS id");
  const request = await soon(`SELECT * FROM requests WHERE id = '${row!.id}' AND status <> 'pending'`);
  expect(request).toMatchObject({ status: "done", problem: null });
  const run = await soon(`SELECT * FROM run_history WHERE run_id = '${request.run_id}' AND status = 'dispatched'`);
  expect(run).toMatchObject({ schedule: "it", trigger_type: "manual" });
});

test("pausing and resuming count at once, and so does a schedule that is due in a moment", async () => {
  await service.rows("SELECT pocketwatch_pause('it', note => 'for a moment')");
  await soon("SELECT FROM schedule_overview WHERE state = 'paused' AND next_run_at IS NULL");
  await service.rows("SELECT pocketwatch_resume('it')");
  await soon("SELECT FROM schedule_overview WHERE state = 'active' AND next_run_at IS NOT NULL");
  await service.rows(
    `INSERT INTO schedules (name, kind, run_at, action, payload)
     VALUES ('soon', 'once', clock_timestamp() + interval '300 ms', 'scout.trigger', '{"source": "s", "max_strategies": 1}')`,
  );
  await soon("SELECT FROM run_history WHERE schedule = 'soon' AND status = 'dispatched'");
});
