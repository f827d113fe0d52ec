import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { claimDueSchedules } from "../../src/database/due-schedules.ts";
import { markForPlanning } from "../../src/database/planning.ts";
import { fire } from "../../src/passes/fire.ts";
import { plan } from "../../src/passes/plan.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { waitFor } from "../support/wait-for.ts";

// One day; instants are written "10:00" or "10:00:01.250".
const at = (time: string) => Date.parse(`2026-03-01T${time.padEnd(8, ":00")}Z`);
const clock = (instant: unknown) =>
  typeof instant === "number" && Number.isFinite(instant)
    ? new Date(instant).toISOString().slice(11, -1).replace(".000", "").replace(/:00$/, "")
    : instant;

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  service.setNow(null);
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE agenda, runs, leases, outbox, run_attempts");
});

/** An hourly schedule, planned at 09:30. */
async function hourly(columns: Record<string, unknown> = {}, time = "09:30"): Promise<string> {
  service.setNow(at(time));
  const id = await addSchedule(service, { name: "it", cron_expression: "0 * * * *", ...columns });
  await plan(service.deps);
  return id;
}

async function edit(time: string, set: string, values: unknown[] = []): Promise<void> {
  service.setNow(at(time));
  await service.rows(`UPDATE schedules SET ${set} WHERE name = 'it'`, values);
}

async function planAt(time: string) {
  service.setNow(at(time));
  return plan(service.deps);
}

async function fireAt(time: string) {
  service.setNow(at(time));
  const result = await fire(service.deps);
  await result.published;
  return result;
}

async function row() {
  const [schedule] = await service.rows<Record<string, unknown>>("SELECT * FROM schedules");
  return schedule!;
}

async function next() {
  return clock((await row()).next_run_at);
}

/** What became of the occurrences: "10:00 dispatched", "10:00-12:00 missed (3)". */
async function trail() {
  const rows = await service.rows<Record<string, unknown> & { result: { first: string; last: string; count: number } }>(
    "SELECT scheduled_for, status, status_reason, result, payload FROM runs ORDER BY scheduled_for, id",
  );
  return rows.map((run) => {
    if (run.status_reason !== "missed") return `${clock(run.scheduled_for)} ${run.status_reason ?? run.status}`;
    const { first, last, count } = run.result;
    expect(Date.parse(first)).toBe(run.scheduled_for);
    return count === 1
      ? `${clock(run.scheduled_for)} missed`
      : `${clock(Date.parse(first))}-${clock(Date.parse(last))} missed (${count})`;
  });
}

describe("an edit that is not about time", () => {
  const OTHER = 'payload = \'{"source": "other", "max_strategies": 1}\'';

  test("leaves what is planned where it is and bumps the revision once", async () => {
    await hourly();
    await edit("09:40", OTHER);
    expect(await row()).toMatchObject({
      revision: 2,
      needs_planning: true,
      next_run_at: at("10:00"),
      plan_from: at("09:30"),
      updated_at: at("09:40"),
    });
    await planAt("09:40");
    expect(await row()).toMatchObject({ revision: 2, needs_planning: false, next_run_at: at("10:00"), problem: null });
    expect(await trail()).toEqual([]);
  });

  test("between due and fire: the occurrence fires once, as edited", async () => {
    await hourly();
    await edit("10:00:01", OTHER);
    expect(await fireAt("10:00:01")).toMatchObject({ fired: 0 });
    await planAt("10:00:02");
    expect(await fireAt("10:00:02")).toMatchObject({ fired: 1 });
    expect(await fireAt("10:00:03")).toMatchObject({ fired: 0 });
    expect(await trail()).toEqual(["10:00 dispatched"]);
    expect(await service.rows("SELECT payload->>'source' AS source FROM runs")).toEqual([{ source: "other" }]);
    expect(await next()).toBe("11:00");
  });

  test.each([
    ["latest", ["10:00-13:00 missed (4)", "14:00 dispatched"]],
    ["skip", ["10:00-14:00 missed (5)"]],
    ["all", ["10:00 dispatched", "11:00 overlap", "12:00 overlap", "13:00 overlap", "14:00 overlap"]],
  ])("in an outage: everything that was due is accounted for (catch-up %s)", async (catchup, expected) => {
    await hourly({ catchup });
    await edit("12:30", OTHER);
    await edit("12:40", 'labels = \'{"team": "a"}\'');
    await planAt("14:10");
    await fireAt("14:10");
    expect(await trail()).toEqual(expected);
    expect(await next()).toBe("15:00");
  });

  test("what an ORM does, writing every column as it was, changes nothing", async () => {
    await hourly();
    await fireAt("10:00:00.010");
    const [{ list }] = (await service.rows<{ list: string }>(
      `SELECT string_agg(quote_ident(attname), ', ') AS list FROM pg_attribute
       WHERE attrelid = 'schedules'::regclass AND attnum > 0 AND attname <> 'id'`,
    )) as [{ list: string }];
    await edit(
      "12:30",
      list
        .split(", ")
        .map((name) => `${name} = ${name}`)
        .join(", "),
    );
    await planAt("12:30");
    await fireAt("12:30");
    expect(await trail()).toEqual(["10:00 dispatched", "11:00 missed", "12:00 overlap"]);
  });

  test("keeps a next_run_at that was set by hand, in the same statement or before", async () => {
    await hourly();
    await edit("09:40", `next_run_at = '2026-03-01T09:47:11Z', ${OTHER}`);
    await planAt("09:40");
    expect(await next()).toBe("09:47:11");
    await edit("09:41", "description = 'x'");
    await planAt("09:41");
    expect(await fireAt("09:47:12")).toMatchObject({ fired: 1 });
    expect(await trail()).toEqual(["09:47:11 dispatched"]);
    expect(await next()).toBe("10:00");
  });

  test("does not bring back what a hand-set next_run_at passed over", async () => {
    await hourly();
    await edit("09:40", "next_run_at = '2026-03-01T15:00:00Z'");
    await edit("12:30", "description = 'x'");
    await planAt("12:30");
    expect(await fireAt("12:30")).toMatchObject({ fired: 0 });
    expect(await next()).toBe("15:00");
  });
});

describe("an edit of the timing", () => {
  test("is planned from the edit, and nothing fires because of it", async () => {
    await hourly();
    await fireAt("10:00:00.010");
    await edit("10:02:30", "cron_expression = '*/5 * * * *'");
    await planAt("10:02:30.500");
    expect(await fireAt("10:02:31")).toMatchObject({ fired: 0 });
    expect(await next()).toBe("10:05");
  });

  test("is planned from the edit even if planning is late", async () => {
    await hourly();
    await edit("09:40", "cron_expression = '*/30 * * * *', overlap = 'allow'");
    await planAt("10:45");
    await fireAt("10:45");
    expect(await trail()).toEqual(["10:00 missed", "10:30 dispatched"]);
  });

  test("an occurrence in the very millisecond of the edit is not lost", async () => {
    await hourly();
    await edit("09:45", "cron_expression = '45 * * * *'");
    await planAt("09:45:01");
    expect(await next()).toBe("10:45");
    await edit("09:44:59.999", "cron_expression = '*/45 * * * *'");
    await planAt("09:45:01");
    expect(await next()).toBe("10:00");
  });

  test("between due and fire: the occurrence fires, then the new timing counts", async () => {
    await hourly();
    await edit("10:00:01", "cron_expression = '20 * * * *'");
    await planAt("10:00:02");
    expect(await fireAt("10:00:02")).toMatchObject({ fired: 1 });
    expect(await trail()).toEqual(["10:00 dispatched"]);
    expect(await next()).toBe("10:20");
  });

  test("in an outage: the last that was due stays due, the others are said to be missed", async () => {
    await hourly();
    await edit("12:30", "cron_expression = '20 * * * *'");
    await planAt("12:40");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)"]);
    expect(await fireAt("12:40")).toMatchObject({ fired: 1 });
    expect(await trail()).toEqual(["10:00-11:00 missed (2)", "12:00 dispatched"]);
    expect(await next()).toBe("13:20");
  });

  test("in an outage that outlasts it: both timings are caught up with, each for its time", async () => {
    await hourly();
    await edit("12:30", "kind = 'interval', interval_seconds = 1200, interval_anchor = '2026-03-01T00:00:00Z'");
    await planAt("13:30");
    await fireAt("13:30");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)", "12:00-13:00 missed (3)", "13:20 dispatched"]);
  });

  test("two edits before the next planning: what the first one voided stays void", async () => {
    await hourly();
    await edit("09:59:59", "cron_expression = '0 13 * * *'");
    await edit("10:00:01", "description = 'x'");
    await planAt("10:00:02");
    expect(await fireAt("10:00:02")).toMatchObject({ fired: 0 });
    expect(await next()).toBe("13:00");
    expect(await trail()).toEqual([]);
  });

  test("two edits before the next planning: what was due before the first one stays due", async () => {
    await hourly();
    await edit("12:00:01", "cron_expression = '0 15 * * *'");
    await edit("12:00:02", "cron_expression = '0 16 * * *', timezone = 'Europe/Berlin'");
    await planAt("12:00:03");
    await fireAt("12:00:03");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)", "12:00 dispatched"]);
    expect(await next()).toBe("15:00");
  });

  test("an edit that is not about time does not move where an unplanned edit of the timing plans from", async () => {
    await hourly();
    await edit("10:30", "next_run_at = NULL, cron_expression = '*/10 * * * *', overlap = 'allow'");
    await edit("11:00:30", "description = 'x'");
    await planAt("11:00:31");
    await fireAt("11:00:31");
    // 10:00 was due before the first edit, though it had set next_run_at to NULL; 10:40 to 11:00 are the new timing's.
    expect(await trail()).toEqual(["10:00-10:50 missed (3)", "11:00 dispatched"]);
  });

  test("setting next_run_at to NULL alone swallows nothing either: the next planning finds it again", async () => {
    await hourly();
    await edit("10:30", "next_run_at = NULL");
    await edit("10:31", "plan_from = '2026-03-01T09:31:00Z'");
    await planAt("10:31");
    expect(await next()).toBe("10:00");
  });

  test("a new name moves the H of a cron expression, and only that is an edit of the timing", async () => {
    await hourly({ cron_expression: "H * * * *" });
    const before = await next();
    await edit("09:31", "name = 'another'");
    await planAt("09:31");
    expect(await next()).not.toBe(before);
    await service.rows("UPDATE schedules SET name = 'it', cron_expression = '0 * * * *'");
    await planAt("09:32");
    await edit("09:33", "name = 'a third'");
    expect(await next()).toBe("10:00");
  });

  test("plan_from by hand: planned from there, and not before what has been dealt with", async () => {
    await hourly({ overlap: "allow" });
    await fireAt("10:00:00.010");
    await fireAt("11:00:00.010");
    await edit("12:30", "plan_from = '2026-03-01T00:00:00Z'");
    await planAt("12:30");
    expect(await next()).toBe("12:00");
    await edit("12:30", "plan_from = '2026-03-01T15:30:00Z'");
    await planAt("12:30");
    expect(await next()).toBe("12:00");
    await fireAt("12:30");
    await edit("12:31", "plan_from = '2026-03-01T15:30:00Z'");
    await planAt("12:31");
    expect(await next()).toBe("16:00");
  });
});

describe("disabling and pausing", () => {
  test.each([
    ["disabled", "enabled = false"],
    ["paused", "paused_until = 'infinity'"],
    ["paused for a while", "paused_until = '2026-03-01T14:00:00Z'"],
  ])("%s between due and fire: a row says what was missed", async (_, set) => {
    await hourly();
    await edit("12:00:01", set);
    await planAt("13:10");
    expect(await fireAt("13:10")).toMatchObject({ fired: 0 });
    expect(await trail()).toEqual(["10:00-12:00 missed (3)"]);
    expect(await service.rows("SELECT triggered_by, trigger_type, policy->>'overlap' AS overlap FROM runs")).toEqual([
      { triggered_by: "it", trigger_type: "scheduled", overlap: "skip" },
    ]);
    await edit("13:30", "enabled = true, paused_until = NULL");
    await planAt("13:40");
    expect(await fireAt("13:40")).toMatchObject({ fired: 0 });
    expect(await trail()).toEqual(["10:00-12:00 missed (3)"]);
    expect(await next()).toBe("14:00");
  });

  test("nothing was due: no row, and enabling plans from then", async () => {
    await hourly();
    await edit("09:59", "enabled = false");
    await planAt("10:01");
    expect(await next()).toBe(null);
    await edit("12:30", "enabled = true");
    await planAt("12:31");
    expect(await next()).toBe("13:00");
    expect(await trail()).toEqual([]);
  });

  test("disabled and enabled before the next planning: what was due before stays due", async () => {
    await hourly();
    await edit("10:00:01", "enabled = false");
    await edit("10:00:02", "enabled = true");
    await planAt("10:00:03");
    await fireAt("10:00:03");
    expect(await trail()).toEqual(["10:00 dispatched"]);
    expect(await next()).toBe("11:00");
  });

  test("pausing until T is planning from T, at which an occurrence fires", async () => {
    await hourly();
    await edit("09:40", "paused_until = '2026-03-01T12:00:00Z'");
    await planAt("09:40");
    expect(await row()).toMatchObject({ next_run_at: at("12:00"), paused_at: at("09:40"), plan_from: at("09:30") });
    expect(await fireAt("11:59:59")).toMatchObject({ fired: 0 });
    // Nobody resumes it, an edit comes after the pause, and planning is late.
    await edit("12:30", "description = 'x'");
    await planAt("12:31");
    expect(await fireAt("12:31")).toMatchObject({ fired: 1 });
    expect(await trail()).toEqual(["12:00 dispatched"]);
    // The next pause is a pause of its own.
    await edit("12:40", "paused_until = '2026-03-01T15:00:00Z'");
    expect(await row()).toMatchObject({ paused_at: at("12:40") });
  });

  test("a pause is moved, shortened, and edited meanwhile", async () => {
    await hourly();
    await edit("09:40", "paused_until = 'infinity', pause_note = 'maintenance'");
    await planAt("09:40");
    expect(await next()).toBe(null);
    await edit("10:10", "paused_until = '2026-03-01T14:30:00Z'");
    await planAt("10:10");
    expect(await next()).toBe("15:00");
    await edit("10:20", 'payload = \'{"source": "b", "max_strategies": 1}\'');
    await edit("10:30", "paused_until = '2026-03-01T11:30:00Z'");
    await planAt("10:30");
    expect(await row()).toMatchObject({ next_run_at: at("12:00"), paused_at: at("09:40") });
    expect(await trail()).toEqual([]);
  });

  test("resuming does not catch up; nothing fires because of it", async () => {
    await hourly();
    await edit("09:40", "paused_until = 'infinity'");
    await planAt("09:40");
    await edit("12:30", "paused_until = NULL");
    await planAt("12:30");
    expect(await row()).toMatchObject({ next_run_at: at("13:00"), plan_from: at("12:30"), paused_at: null });
    expect(await trail()).toEqual([]);
  });

  test("resuming that catches up plans from the pause, by the schedule's catch-up policy", async () => {
    await hourly();
    await edit("09:40", "paused_until = 'infinity'");
    await planAt("09:40");
    await edit("12:30", "paused_until = NULL, plan_from = paused_at");
    await planAt("12:30");
    await fireAt("12:30");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)", "12:00 dispatched"]);
  });

  test("resuming that catches up, at once and after an edit in the pause, of a schedule created paused", async () => {
    await hourly({ paused_until: "infinity" });
    expect(await row()).toMatchObject({ paused_at: at("09:30"), plan_from: at("09:30"), next_run_at: null });
    await edit("10:10", "cron_expression = '30 * * * *'");
    await edit("11:10", "paused_until = NULL, plan_from = paused_at");
    await planAt("11:10");
    await fireAt("11:10");
    expect(await trail()).toEqual(["10:30 dispatched"]);
  });

  test("what was due before a pause is dealt with once, though resuming catches up with the pause", async () => {
    await hourly({ overlap: "allow" });
    await edit("12:00:01", "paused_until = 'infinity'");
    await planAt("12:00:02");
    await edit("15:30", "paused_until = NULL, plan_from = paused_at");
    await planAt("15:30");
    await fireAt("15:30");
    expect(await trail()).toEqual(["10:00-12:00 missed (3)", "13:00-14:00 missed (2)", "15:00 dispatched"]);
  });

  test("a pause that has ended by itself is nothing to resume from", async () => {
    await hourly();
    await edit("09:40", "paused_until = '2026-03-01T10:30:00Z'");
    await planAt("09:40");
    await edit("12:30", "paused_until = NULL, pause_note = NULL");
    await planAt("12:30");
    await fireAt("12:30");
    expect(await trail()).toEqual(["11:00 missed", "12:00 dispatched"]);
  });
});

describe("limits and single instants", () => {
  test("max_runs ends a schedule; more of them begin at the edit", async () => {
    await hourly({ max_runs: 1 });
    await fireAt("10:00:00.010");
    expect(await next()).toBe(null);
    await edit("12:30", "description = 'x'");
    await planAt("12:30");
    expect(await row()).toMatchObject({ next_run_at: null, problem: null });
    await edit("13:30", "max_runs = 2, overlap = 'allow'");
    await planAt("13:40");
    expect(await next()).toBe("14:00");
    await edit("14:00:01", "max_runs = 1");
    await planAt("14:00:02");
    expect(await trail()).toEqual(["10:00 dispatched", "14:00 missed"]);
    expect(await next()).toBe(null);
  });

  test("once: fires, is finished, and is armed again by a new instant", async () => {
    await hourly({ kind: "once", cron_expression: null, run_at: "2026-03-01T10:15:00Z" });
    await edit("10:15:01", 'payload = \'{"source": "b", "max_strategies": 1}\'');
    await planAt("10:15:01");
    await fireAt("10:15:02");
    expect(await row()).toMatchObject({ next_run_at: null, problem: null, run_count: 1 });
    await edit("10:20", "description = 'x'");
    await planAt("10:20");
    expect(await row()).toMatchObject({ next_run_at: null, problem: null });
    await edit("10:30", "run_at = '2026-03-01T11:00:00Z', overlap = 'allow'");
    await planAt("10:30");
    await fireAt("11:00:01");
    expect(await trail()).toEqual(["10:15 dispatched", "11:00 dispatched"]);
  });

  test("once, in the past or within a pause: a problem says that it would never fire", async () => {
    await hourly({ kind: "once", cron_expression: null, run_at: "2026-03-01T09:00:00Z" });
    expect(await row()).toMatchObject({ problem: "run_at: lies in the past, so that the schedule would never fire" });
    await edit("09:40", "run_at = '2026-03-01T10:00:00Z', paused_until = '2026-03-01T10:30:00Z'");
    await planAt("09:40");
    expect(await row()).toMatchObject({
      problem: "run_at: lies within the pause, so that the schedule would never fire",
    });
    await edit("09:50", "paused_until = 'infinity'");
    await planAt("09:50");
    expect(await row()).toMatchObject({ problem: null, next_run_at: null });
    await edit("10:05", "paused_until = NULL, plan_from = paused_at");
    await planAt("10:05");
    await fireAt("10:05");
    expect(await trail()).toEqual(["10:00 dispatched"]);
  });
});

describe("problems", () => {
  test("an edit that makes it invalid between due and fire: a row says what was missed", async () => {
    await hourly();
    await edit("11:00:01", "payload = '{}'");
    await planAt("11:00:02");
    expect(await row()).toMatchObject({
      next_run_at: null,
      problem: "payload.source: is required; payload.max_strategies: is required",
    });
    expect(await trail()).toEqual(["10:00-11:00 missed (2)"]);
    expect(await service.rows("SELECT routing_key, data->>'problem' AS problem FROM outbox")).toEqual([
      { routing_key: "schedule.problem.v1", problem: (await row()).problem },
    ]);

    // Told once, however often it is planned; the row is not written again either.
    await edit("11:10", "description = 'x'");
    await planAt("11:10");
    await planAt("11:11");
    expect(await service.rows("SELECT FROM outbox")).toHaveLength(1);
    expect(await trail()).toHaveLength(1);

    await edit("14:30", 'payload = \'{"source": "b", "max_strategies": 1}\'');
    await planAt("14:40");
    expect(await row()).toMatchObject({ problem: null, next_run_at: at("15:00") });
    expect(await fireAt("14:40")).toMatchObject({ fired: 0 });
    expect(await trail()).toHaveLength(1);
  });

  test("a timing that is not valid: what had been due by the old one is counted all the same", async () => {
    await hourly();
    await edit("12:10", "cron_expression = '61 * * * *'");
    await planAt("12:11");
    expect(await row()).toMatchObject({ next_run_at: null, problem: expect.stringContaining("cron_expression: ") });
    expect(await trail()).toEqual(["10:00-12:00 missed (3)"]);
  });

  test("mended by an edit in an outage: planned from that edit, whatever else is edited before planning", async () => {
    await hourly({ cron_expression: "bad" });
    await edit("10:30", "cron_expression = '0 * * * *'");
    await planAt("12:30");
    expect(await next()).toBe("11:00");
  });
});

describe("a reload", () => {
  const reload = () =>
    service.database.transaction((tx) => markForPlanning(tx, "00000000-0000-0000-0000-000000000000", null, 1_000));

  test("is no edit: what is due stays due, what is ahead stays where it is", async () => {
    await hourly();
    service.setNow(at("09:50"));
    await reload();
    await planAt("09:50");
    expect(await row()).toMatchObject({ revision: 1, plan_from: at("09:30"), next_run_at: at("10:00") });
    service.setNow(at("12:30"));
    await reload();
    await planAt("12:30");
    await fireAt("12:30");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)", "12:00 dispatched"]);
  });

  test("that finds a schedule invalid leaves a row for what was due, and goes on from there once it is valid", async () => {
    await hourly({ action: "scout.trigger" });
    // As if the contract of the action had been broken, and then mended.
    const { actions } = service.deps;
    const without = { ...service.deps, actions: () => ({ ...actions(), find: () => undefined, list: () => [] }) };
    service.setNow(at("11:10"));
    await reload();
    await plan(without);
    expect(await row()).toMatchObject({ next_run_at: null, problem: expect.stringContaining("action: ") });
    expect(await trail()).toEqual(["10:00-11:00 missed (2)"]);
    service.setNow(at("13:10"));
    await reload();
    await planAt("13:10");
    await fireAt("13:10");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)", "12:00 missed", "13:00 dispatched"]);
  });
});

describe("an edit beside a pass", () => {
  test("fire holds the row: the edit waits for it, and applies to what comes after", async () => {
    const id = await hourly();
    service.setNow(at("10:00:01"));
    let editing: Promise<unknown> | undefined;
    await service.database.transaction(async (tx) => {
      expect(await claimDueSchedules(tx, [id])).toMatchObject([{ id }]);
      editing = service.rows("UPDATE schedules SET cron_expression = '30 * * * *'");
      await waitFor(() => isBlocked(service.url), { describe: "the edit to wait" });
      await tx.query(
        "UPDATE schedules SET next_run_at = '2026-03-01T11:00:00Z', last_occurrence_at = '2026-03-01T10:00:00Z'",
      );
    });
    await editing;
    expect(await row()).toMatchObject({ next_run_at: null, needs_planning: true, plan_from: at("10:00:01") });
    await planAt("10:00:02");
    expect(await next()).toBe("10:30");
  });

  test("the edit holds the row: fire and plan pass it by, and after the commit it is planned first", async () => {
    await hourly();
    await hourly({ name: "other" });
    service.setNow(at("10:00:01"));
    await service.database.transaction(async (tx) => {
      await tx.query("UPDATE schedules SET enabled = false WHERE name = 'it'");
      expect(await fireAt("10:00:01")).toMatchObject({ fired: 1, full: false, next_in_ms: 50 });
      expect(await plan(service.deps)).toMatchObject({ planned: 0 });
      expect(await fireAt("10:00:01")).toMatchObject({ fired: 0, full: false });
    });
    expect(await fireAt("10:00:02")).toMatchObject({ fired: 0, next_in_ms: expect.any(Number) });
    await planAt("10:00:02");
    expect(await service.rows("SELECT schedule_name, status_reason FROM runs ORDER BY 1")).toEqual([
      { schedule_name: "it", status_reason: "missed" },
      { schedule_name: "other", status_reason: null },
    ]);
  });

  test("a transaction that stays open over an occurrence: the edit counts from its statement", async () => {
    await hourly();
    service.setNow(at("09:59"));
    await service.database.transaction(async (tx) => {
      await tx.query("UPDATE schedules SET cron_expression = '30 * * * *' WHERE name = 'it'");
      await fireAt("10:00:01");
    });
    await planAt("10:40");
    await fireAt("10:40");
    expect(await trail()).toEqual(["10:30 dispatched"]);
  });

  test("plan holds the row: the edit waits, and is planned in its turn", async () => {
    await hourly();
    await edit("09:40", "cron_expression = '20 * * * *'");
    let editing: Promise<unknown> | undefined;
    await service.database.transaction(async (tx) => {
      const { planLocked } = await import("../../src/passes/plan.ts");
      const { claimSchedulesToPlan } = await import("../../src/database/planning.ts");
      const claimed = await claimSchedulesToPlan(tx, 10);
      expect(claimed).toHaveLength(1);
      editing = service.rows("UPDATE schedules SET cron_expression = '50 * * * *'");
      await waitFor(() => isBlocked(service.url), { describe: "the edit to wait" });
      await planLocked(service.deps, tx, claimed);
    });
    await editing;
    expect(await row()).toMatchObject({ needs_planning: true, revision: 3 });
    await planAt("09:41");
    expect(await next()).toBe("09:50");
  });
});

describe("an editor's session", () => {
  let editor: pg.Client;
  beforeEach(async () => {
    editor = new pg.Client(service.url);
    await editor.connect();
    return () => editor.end();
  });

  test("may be in any time zone and date style", async () => {
    await hourly();
    await editor.query("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard'");
    await editor.query("SET pocketwatch.now = '2026-03-01T12:10:00Z'");
    await editor.query("UPDATE schedules SET cron_expression = '20 * * * *', timezone = 'Asia/Kathmandu'");
    await planAt("12:11");
    expect(await trail()).toEqual(["10:00-11:00 missed (2)"]);
    expect(await row()).toMatchObject({ next_run_at: at("12:00"), plan_from: at("12:10") });
    await fireAt("12:11");
    expect(await next()).toBe("12:35");
  });

  test("may look for tables elsewhere", async () => {
    const id = await hourly({ depends_on: [] });
    await hourly({ name: "dependent", depends_on: [id] });
    await editor.query("SET search_path = pg_catalog");
    await editor.query("CREATE TEMP TABLE runs (id uuid); CREATE TEMP TABLE schedules (id uuid)");
    await editor.query("INSERT INTO public.pools (name) VALUES ('elsewhere')");
    await editor.query("UPDATE public.schedules SET description = 'x' WHERE name = 'it'");
    await editor.query("DELETE FROM public.schedules WHERE name = 'it'");
    await editor.query("DELETE FROM public.pools WHERE name = 'elsewhere'");
    expect(await service.rows("SELECT needs_planning FROM schedules")).toEqual([{ needs_planning: true }]);
  });

  test("whose clock is behind brings nothing back", async () => {
    await hourly({ overlap: "allow" });
    await fireAt("10:00:00.010");
    await fireAt("11:00:00.010");
    await editor.query("SET pocketwatch.now = '2020-01-01T00:00:00Z'");
    await editor.query("UPDATE schedules SET cron_expression = '*/30 * * * *'");
    expect(await row()).toMatchObject({ plan_from: at("09:30") });
    await planAt("11:10");
    expect(await fireAt("11:10")).toMatchObject({ fired: 0 });
    expect(await trail()).toEqual(["10:00 dispatched", "11:00 dispatched"]);
    expect(await next()).toBe("11:30");
    await editor.query("UPDATE schedules SET enabled = false");
    await editor.query("UPDATE schedules SET enabled = true, description = 'x'");
    await planAt("11:20");
    expect(await next()).toBe("11:30");
  });

  test("whose clock is behind takes back nothing that has come due", async () => {
    await hourly();
    await fireAt("10:00:00.010");
    await edit("11:00:00.005", "dst_gap = 'skip'");
    await editor.query("SET pocketwatch.now = '2026-03-01T09:00:00Z'");
    await editor.query("UPDATE schedules SET dst_gap = 'next_valid'");
    await planAt("11:00:00.020");
    expect(await next()).toBe("11:00");
  });
});

/** Whether some session of the database waits for a lock. */
async function isBlocked(url: string): Promise<boolean> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query(
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
  );
  await client.end();
  return rows.length > 0;
}
