import { afterAll, beforeAll, expect, test } from "vitest";
import { retain } from "../../src/passes/retain.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());

const RETENTION = { days: 30, audit_days: 365, runs_per_schedule: 3, interval_ms: 86_400_000 };
const cleanUp = async () => {
  let deleted = 0;
  for (;;) {
    const result = await retain(service.deps, RETENTION);
    deleted += result.deleted;
    if (!result.full) return deleted;
  }
};

/** A run as it stands so many days after its end; ids carry the time, as the service's own do. */
async function addRun(columns: {
  schedule: string | null;
  days: number;
  status?: string;
  parent?: string;
  total?: number;
}) {
  const { schedule, days, status = "completed", parent = null, total = null } = columns;
  service.setNow(Date.parse("2026-06-01T00:00:00Z") - days * 86_400_000);
  const [run] = await service.rows<{ id: string }>(
    `INSERT INTO runs (id, schedule_id, action, action_version, trigger_type, scheduled_for, status, parent_run_id,
       child_total, completed_at)
     VALUES (pocketwatch_uuid_v7(), $1, 'scout.trigger', 1, 'scheduled', pocketwatch_now(), $2, $3, $4,
       CASE WHEN $2 IN ('running', 'pending') THEN NULL ELSE pocketwatch_now() END) RETURNING id`,
    [schedule, status, parent, total],
  );
  service.setNow("2026-06-01T00:00:00Z");
  return run!.id;
}

test("old runs go with their children and attempts; the newest of each schedule and the unfinished stay", async () => {
  const schedule = await addSchedule(service);
  const stays = [
    await addRun({ schedule: null, days: 60, status: "running" }),
    await addRun({ schedule: null, days: 20 }),
    await addRun({ schedule, days: 3 }),
    await addRun({ schedule, days: 2 }),
    await addRun({ schedule, days: 1 }),
  ];
  const openParent = await addRun({ schedule: null, days: 40, status: "running", total: 2 });
  stays.push(openParent, await addRun({ schedule: null, days: 39, parent: openParent }));
  const parent = await addRun({ schedule: null, days: 40, total: 1 });
  const child = await addRun({ schedule: null, days: 40, parent });
  await service.rows("INSERT INTO run_attempts (run_id, attempt, status) VALUES ($1, 1, 'failed')", [child]);
  for (let days = 4; days < 9; days += 1) await addRun({ schedule, days });
  await service.rows(
    `INSERT INTO requests (source, key, status, created_at) VALUES
     ('http', 'old', 'done', '2026-05-30'), ('http', 'fresh', 'done', '2026-05-31 12:00'), ('sql', 'open', 'pending', '2026-05-01')`,
  );

  expect(await cleanUp()).toBe(7);
  const left = await service.rows<{ id: string }>("SELECT id FROM runs");
  expect(left.map(({ id }) => id).sort()).toEqual([...stays].sort());
  expect(await service.rows("SELECT * FROM run_attempts")).toEqual([]);
  expect(await service.rows("SELECT key FROM requests ORDER BY key")).toEqual([{ key: "fresh" }, { key: "open" }]);
});

test("one round per interval for all instances together", async () => {
  await addRun({ schedule: null, days: 31 });
  expect(await cleanUp()).toBe(0);
  service.setNow("2026-06-02T00:00:01Z");
  expect(await cleanUp()).toBe(1);
});

test("audited edits are kept for a year, whatever became of the runs", async () => {
  await service.rows(
    `INSERT INTO audit (at, who, operation, table_name, subject, changes) VALUES
     ('2025-06-01', 'a', 'update', 'schedules', 'old', '{}'), ('2026-01-01', 'a', 'update', 'schedules', 'fresh', '{}')`,
  );
  service.setNow("2026-06-04T00:00:00Z");
  await cleanUp();
  const left = await service.rows("SELECT subject FROM audit WHERE subject IN ('old', 'fresh')");
  expect(left).toEqual([{ subject: "fresh" }]);
});
