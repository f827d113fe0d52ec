import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { measure } from "../../src/database/measurements.ts";
import { schedulerStatus } from "../../src/database/scheduler-status.ts";
import { fire } from "../../src/passes/fire.ts";
import { fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { Outlook } from "../../src/passes/outlook.ts";
import { plan } from "../../src/passes/plan.ts";
import { retain } from "../../src/passes/retain.ts";
import { forgotten } from "../support/agenda.ts";
import { addSchedule, addSchedules } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  service.setNow(null);
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE agenda, runs, leases, settings");
});

const at = (time: string) => Date.parse(`2026-03-01T${time}Z`);

async function planned(columns: Record<string, unknown> = {}, time = "11:59:30") {
  service.setNow(at(time));
  const id = await addSchedule(service, columns);
  await plan(service.deps);
  return id;
}

async function fireAt(time: string, limit?: number) {
  service.setNow(at(time));
  const result = await fire(service.deps, limit);
  await result.published;
  return result;
}

/** What it holds: when, and how many schedules in each entry. */
const entries = () =>
  service.rows<{ at: string; size: number }>(
    `SELECT to_char(next_run_at, 'HH24:MI:SS.MS') AS at, cardinality(schedule_ids) AS size FROM agenda ORDER BY 1, 2 DESC`,
  );
const started = async () =>
  (await service.rows<{ at: string }>("SELECT to_char(scheduled_for, 'HH24:MI:SS') AS at FROM runs ORDER BY 1")).map(
    (run) => run.at,
  );

async function many(count: number): Promise<void> {
  await addSchedules(service, count, "allow");
  await plan(service.deps);
}

describe("who enters a schedule", () => {
  test("planning and firing, a hundred of an instant together", async () => {
    service.setNow(at("11:59:30"));
    await many(250);
    const minute = (time: string) => [100, 100, 50].map((size) => ({ at: `${time}.000`, size }));
    expect(await entries()).toEqual(minute("12:00:00"));
    await fireAt("12:00:00.010");
    expect(await entries()).toEqual(minute("12:01:00"));
    const outlook = new Outlook();
    service.setNow(at("12:00:59"));
    while ((await fireOnTime(service.deps, outlook)).full);
    service.setNow(at("12:01:00.005"));
    expect(await fireOnTime(service.deps, outlook)).toMatchObject({ fired: 250, full: false });
    expect(await entries()).toEqual(minute("12:02:00"));
  });

  test("a trigger, where next_run_at is written by hand", async () => {
    const id = await planned();
    await service.rows("UPDATE schedules SET next_run_at = '2026-03-01T11:59:40Z' WHERE id = $1", [id]);
    expect(await entries()).toEqual([
      { at: "11:59:40.000", size: 1 },
      { at: "12:00:00.000", size: 1 },
    ]);
    await fireAt("11:59:40.010");
    expect(await started()).toEqual(["11:59:40"]);
    await fireAt("12:00:00.010");
    expect(await started()).toEqual(["11:59:40", "12:00:00"]);
    expect(await entries()).toEqual([{ at: "12:01:00.000", size: 1 }]);
  });

  test("the trigger again, where a tool writes a whole row back as it had read it", async () => {
    const id = await planned();
    const [before] = await service.rows<{ row: object }>("SELECT to_jsonb(schedules) AS row FROM schedules");
    await fireAt("12:00:00.010");
    await service.rows(
      `UPDATE schedules SET (next_run_at, entered_by, not_due) =
         (SELECT next_run_at, entered_by, not_due FROM jsonb_populate_record(NULL::schedules, $2)) WHERE id = $1`,
      [id, JSON.stringify(before!.row)],
    );
    expect(await entries()).toEqual([
      { at: "12:00:00.000", size: 1 },
      { at: "12:01:00.000", size: 1 },
    ]);
    // What has been fired stays fired.
    expect(await fireAt("12:00:01")).toMatchObject({ fired: 0, next_in_ms: 59_000 });
    expect(await started()).toEqual(["12:00:00"]);
  });

  test("the trigger, also in a transaction of the service's that has entered it before", async () => {
    await planned();
    await service.database.transaction(async (tx) => {
      await tx.query("UPDATE schedules SET next_run_at = next_run_at, entered_by = pg_current_xact_id()");
      await tx.query("UPDATE schedules SET next_run_at = '2026-03-01T11:59:45Z'");
    });
    expect(await entries()).toEqual([
      { at: "11:59:45.000", size: 1 },
      { at: "12:00:00.000", size: 1 },
    ]);
  });

  test("planning, if an edit voids what it had planned; and nobody, if the edit is not about time", async () => {
    const id = await planned();
    await service.rows("UPDATE schedules SET priority = 1 WHERE id = $1", [id]);
    service.setNow(at("11:58"));
    await plan(service.deps);
    expect(await entries()).toEqual([{ at: "12:00:00.000", size: 1 }]);
    await service.rows("UPDATE schedules SET cron_expression = '30 * * * *' WHERE id = $1", [id]);
    await plan(service.deps);
    expect(await entries()).toEqual([
      { at: "12:00:00.000", size: 1 },
      { at: "12:30:00.000", size: 1 },
    ]);
    // The old entry is passed over, and gone.
    expect(await fireAt("12:00:00.010")).toMatchObject({ fired: 0, full: false });
    expect(await entries()).toEqual([{ at: "12:30:00.000", size: 1 }]);
  });
});

describe("what cannot fire now", () => {
  test("held by somebody: it is looked at again after 50 ms, behind what is due already", async () => {
    service.setNow(at("11:59:30"));
    await many(150);
    await service.database.transaction(async (tx) => {
      await tx.query("SELECT FROM schedules WHERE name = 'many 1' FOR UPDATE");
      // An entry a pass.
      const passes = [await fireAt("12:00:00.010", 1), await fireAt("12:00:00.010", 1)];
      expect(passes.map(({ fired }) => fired).sort()).toEqual([1, 1]);
    });
    for (let full = true; full; ) ({ full } = await fireAt("12:00:00.010"));
    expect(await started()).toHaveLength(149);
    expect((await entries())[0]).toEqual({ at: "12:00:00.060", size: 1 });
    expect(await fireAt("12:00:00.060")).toMatchObject({ fired: 1 });
  });

  test("edited and not planned yet: it leaves the agenda, and planning enters it again though nothing has moved", async () => {
    await planned();
    service.setNow(at("12:00:01"));
    await service.rows("UPDATE schedules SET priority = 1");
    expect(await fireAt("12:00:02")).toMatchObject({ fired: 0, next_in_ms: null });
    expect(await entries()).toEqual([]);
    await plan(service.deps);
    expect(await fireAt("12:00:02")).toMatchObject({ fired: 1 });
    expect(await started()).toEqual(["12:00:00"]);
  });

  test("edited, due, and held by planning that has not committed: it stays", async () => {
    await planned();
    service.setNow(at("12:00:01"));
    await service.rows("UPDATE schedules SET priority = 1");
    await service.database.transaction(async (tx) => {
      await tx.query("SELECT FROM schedules WHERE needs_planning FOR NO KEY UPDATE");
      expect(await fireAt("12:00:02")).toMatchObject({ fired: 0, next_in_ms: 50 });
      // As planning does where it comes to the same instant and believes it entered.
      await tx.query("UPDATE schedules SET needs_planning = false");
    });
    expect(await fireAt("12:00:02.050")).toMatchObject({ fired: 1 });
  });

  test("more occurrences than a pass may start: the rest stays due at once", async () => {
    await planned({ name: "a", catchup: "all" });
    await planned({ name: "b", catchup: "all" });
    let passes = 0;
    for (let full = true; full; passes += 1) ({ full } = await fireAt("12:04:30", 3));
    expect(passes).toBe(4);
    expect(await started()).toHaveLength(10);
    expect((await entries()).map((entry) => entry.at)).toEqual(["12:05:00.000", "12:05:00.000"]);
  });

  test("foreseen, but not all of its entry: the others are claimed", async () => {
    service.setNow(at("11:59:30"));
    await many(30);
    service.setNow(at("11:59:55"));
    const outlook = new Outlook();
    while ((await fireOnTime(service.deps, outlook)).full);
    await service.rows("UPDATE schedules SET consecutive_failures = 1 WHERE name IN ('many 7', 'many 8')");
    service.setNow(at("12:00:00.005"));
    let fired = 0;
    for (let pass = 0; pass < 2; pass += 1) {
      const result = await fireOnTime(service.deps, outlook);
      await result.published;
      fired += result.fired;
    }
    expect(fired).toBe(30);
    expect(await started()).toHaveLength(30);
    expect((await entries()).reduce((sum, entry) => sum + entry.size, 0)).toBe(30);
  });
});

test("an instant without end, written by hand, keeps nobody else from firing", async () => {
  await planned({ name: "first" });
  await planned({ name: "last" });
  await service.rows("UPDATE schedules SET next_run_at = '-infinity' WHERE name = 'first'");
  await service.rows("UPDATE schedules SET next_run_at = 'infinity' WHERE name = 'last'");
  const outlook = new Outlook();
  service.setNow(at("11:59:59"));
  while ((await fireOnTime(service.deps, outlook)).full);
  await planned({ name: "between", cron_expression: "*/5 * * * *" }, "12:00:00");
  service.setNow(at("12:05:00.005"));
  let fired = 0;
  for (let full = true; full; ) {
    const result = await fireOnTime(service.deps, outlook);
    fired += result.fired;
    full = result.full;
  }
  expect(fired).toBe(1);
  expect(await service.rows("SELECT name, problem IS NULL AS fine FROM schedules ORDER BY name")).toEqual([
    { name: "between", fine: true },
    { name: "first", fine: false },
    { name: "last", fine: true },
  ]);
});

const RETENTION = { days: 30, audit_days: 30, runs_per_schedule: 100, interval_ms: 86_400_000 };
async function cleanUp(): Promise<void> {
  for (let full = true, first = true; full; first = false) ({ full } = await retain(service.deps, RETENTION, first));
}

test("what was written while triggers were off is found by the daily clean-up", async () => {
  await planned();
  await service.rows("DELETE FROM agenda");
  await service.database.transaction(async (tx) => {
    await tx.query("SET LOCAL session_replication_role = replica");
    await tx.query("UPDATE schedules SET next_run_at = '2026-03-01T12:00:30Z'");
  });
  expect(await forgotten(service)).toHaveLength(1);
  expect(await fireAt("12:05")).toMatchObject({ fired: 0, next_in_ms: null });
  await cleanUp();
  expect(await fireAt("12:05")).toMatchObject({ fired: 0, next_in_ms: null });
  service.setNow(at("12:05:31"));
  await cleanUp();
  expect(service.woken.at(-1)).toBe("fire");
  expect(await fireAt("12:05:31")).toMatchObject({ fired: 1 });
  expect(await forgotten(service)).toEqual([]);
});

test("entries ahead that nobody is due by any more are swept up by the daily clean-up, and no others", async () => {
  service.setNow(at("11:59:30"));
  await many(900);
  for (let minute = 1; minute <= 3; minute += 1) {
    const later = new Date(at("14:00:00") + minute * 60_000).toISOString();
    await service.rows("UPDATE schedules SET next_run_at = $1", [later]);
  }
  await service.rows("DELETE FROM schedules WHERE name LIKE 'many 1%'");
  const [{ left }] = (await service.rows<{ left: number }>("SELECT count(*)::int AS left FROM schedules")) as [
    { left: number },
  ];
  expect(await entries()).toHaveLength(9 + 3 * 900);
  service.setNow(at("12:00:30"));
  await cleanUp();
  // Those of 12:00 have come due, which is fire's business.
  expect(await entries()).toHaveLength(9 + left);
  expect(await forgotten(service)).toEqual([]);
  expect(await service.rows("SELECT value->'cursor' AS cursor, value->'swept' AS swept FROM settings")).toEqual([
    { cursor: null, swept: null },
  ]);
});

test("due and edited: plan is woken, which has passed it over while fire held it", async () => {
  await planned();
  service.setNow(at("12:00:01"));
  await service.rows("UPDATE schedules SET priority = 1");
  service.woken.length = 0;
  await fireAt("12:00:02");
  expect(service.woken).toContain("plan");
});

test("due, edited, taken off, and planned by a version that knows of no agenda: it is entered", async () => {
  await planned();
  service.setNow(at("12:00:01"));
  await service.rows("UPDATE schedules SET priority = 1");
  await fireAt("12:00:02");
  expect(await entries()).toEqual([]);
  await service.rows("UPDATE schedules SET needs_planning = false, next_run_at = next_run_at");
  expect(await fireAt("12:00:03")).toMatchObject({ fired: 1 });
});

test("many that are held are looked at less often, and are seen to be overdue", async () => {
  service.setNow(at("11:59:30"));
  await many(300);
  await service.database.transaction(async (tx) => {
    await tx.query("SELECT FROM schedules FOR NO KEY UPDATE");
    expect(await fireAt("12:00:00.010")).toMatchObject({ fired: 0, full: false, next_in_ms: 1_200 });
    service.setNow(at("12:00:01"));
    const measured = await service.database.transaction((other) => measure(other));
    expect(measured.overdue_seconds).toBe(1);
    const status = await service.database.transaction((other) => schedulerStatus(other));
    expect(status).toMatchObject({ due: 300, oldest_due_at: at("12:00:00") });
    expect(await service.rows("SELECT count(*)::int AS n FROM due_now")).toEqual([{ n: 300 }]);
  });
  let fired = 0;
  for (let full = true; full; ) {
    const result = await fireAt("12:00:01.210");
    fired += result.fired;
    full = result.full;
  }
  expect(fired).toBe(300);
});
