import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Deps } from "../../src/deps.ts";
import { plan } from "../../src/passes/plan.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());
beforeEach(async () => {
  service.setNow("2026-03-01T09:30:00Z");
  service.woken.length = 0;
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE agenda, runs, leases, outbox, run_attempts");
});

const problems = async () => {
  const rows = await service.rows<{ name: string; problem: string | null }>(
    "SELECT name, problem FROM schedules ORDER BY name",
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.problem]));
};
const events = () =>
  service.rows<{ name: string; problem: string }>(
    "SELECT data->>'schedule_name' AS name, data->>'problem' AS problem FROM outbox ORDER BY id",
  );

describe("plan", () => {
  test("computes the next occurrence and resolves the policy, and wakes fire", async () => {
    await addSchedule(service, {
      name: "nightly",
      cron_expression: "0 2 * * *",
      timezone: "Europe/Berlin",
      priority: 1,
    });
    expect(await plan(service.deps)).toEqual({ planned: 1, problems: 0, full: false, next_in_ms: null });
    expect(await service.rows("SELECT next_run_at, needs_planning, problem, resolved FROM schedules")).toMatchObject([
      {
        next_run_at: Date.parse("2026-03-02T01:00:00Z"),
        needs_planning: false,
        problem: null,
        resolved: { overlap: "skip", priority: 1, max_attempts: 3, timeout_seconds: 7_200 },
      },
    ]);
    expect(service.woken).toEqual(["fire"]);
    expect(await plan(service.deps)).toMatchObject({ planned: 0 });
  });

  test("says in words what is wrong, with every field at once, and tells it once", async () => {
    await addSchedule(service, { name: "good" });
    await addSchedule(service, {
      name: "bad",
      cron_expression: "61 * * * *",
      timezone: "Europe/Atlantis",
      payload: { source: "", max_strategies: 0 },
      targets: ["a", "a"],
      pool: "nowhere",
      depends_on: ["00000000-0000-7000-8000-000000000000"],
    });
    await addSchedule(service, { name: "no such action", action: "scout.trigge" });
    await addSchedule(service, { name: "no such version", action_version: 9 });
    await addSchedule(service, { name: "no expression", cron_expression: null });
    expect(await plan(service.deps)).toMatchObject({ planned: 5, problems: 4 });
    const said = await problems();
    expect(said.good).toBeNull();
    for (const part of [
      "cron_expression: ",
      "timezone: ",
      "payload.source: ",
      "payload.max_strategies: ",
      'targets.1: "a" is named twice',
      'pool: there is no pool "nowhere"',
      "depends_on: there is no schedule 00000000-0000-7000-8000-000000000000",
    ]) {
      expect(said.bad).toContain(part);
    }
    expect(said["no such action"]).toContain('action: there is no action "scout.trigge" (there are ');
    expect(said["no such version"]).toContain("action_version: scout.trigger has no version 9 (it has 1)");
    expect(said["no expression"]).toContain("cron_expression: is required for kind cron");
    expect(await events()).toHaveLength(4);
    expect(service.woken).toEqual(["fire", "relay"]);

    await service.rows("UPDATE schedules SET needs_planning = true");
    await plan(service.deps);
    expect(await events()).toHaveLength(4);
    await service.rows("UPDATE schedules SET action = 'scout.trigg' WHERE name = 'no such action'");
    await plan(service.deps);
    expect(await events()).toHaveLength(5);

    await service.rows("UPDATE schedules SET action = 'scout.trigger' WHERE name = 'no such action'");
    await plan(service.deps);
    expect((await problems())["no such action"]).toBeNull();
    expect(await events()).toHaveLength(5);
  });

  test("planning twice gives the same plan", async () => {
    const kinds = [
      { cron_expression: "*/7 3 * * *" },
      { kind: "interval", interval_seconds: 90, interval_anchor: "2026-01-01T00:00:00Z" },
      { kind: "once", run_at: "2026-04-01T00:00:00Z" },
      { kind: "calendar", calendar: { times: ["22:00:00"] }, timezone: "America/New_York" },
      { kind: "manual" },
      { kind: "once", run_at: "2020-01-01T00:00:00Z" },
      { cron_expression: "nonsense" },
    ];
    for (const columns of kinds) await addSchedule(service, columns);
    await plan(service.deps);
    const all = () =>
      service.rows<{ next_run_at: number | null }>(
        "SELECT to_jsonb(schedules) - 'entered_by' AS row, next_run_at FROM schedules ORDER BY id",
      );
    const once = await all();
    await service.rows("UPDATE schedules SET needs_planning = true");
    service.setNow("2026-03-01T09:30:59Z");
    await plan(service.deps);
    expect(await all()).toEqual(once);
    expect(once.filter((row) => row.next_run_at !== null)).toHaveLength(4);
  });

  test("comes back full at its bound, and two instances share the work", async () => {
    await service.rows(
      `INSERT INTO schedules (name, kind, cron_expression, action, payload)
       SELECT 'many ' || n, 'cron', '0 * * * *', 'scout.trigger', '{"source": "s", "max_strategies": 1}'
       FROM generate_series(1, 500) AS n`,
    );
    // One batch, then two lanes of four.
    expect(await plan(service.deps, 20)).toMatchObject({ planned: 180, full: true });
    const other = await service.sibling("test-2");
    const drain = async (deps: Deps) => {
      let planned = 0;
      for (;;) {
        const result = await plan(deps, 7);
        planned += result.planned;
        if (result.planned === 0) return planned;
      }
    };
    const [mine, theirs] = await Promise.all([drain(service.deps), drain(other.deps)]);
    expect(mine + theirs).toBe(320);
    expect(await service.rows("SELECT FROM schedules WHERE needs_planning OR next_run_at IS NULL")).toEqual([]);
  });
});

describe("a row that cannot be planned does not stop the others", () => {
  test("values that Postgres can keep and JavaScript cannot", async () => {
    await addSchedule(service, { name: "good 1" });
    const bad = async (name: string, set: string) => {
      await addSchedule(service, { name });
      await service.rows(`UPDATE schedules SET ${set} WHERE name = $1`, [name]);
    };
    await bad("huge number", `payload = '{"source": "s", "max_strategies": 1e400}'`);
    await bad("deep", `payload = (repeat('[', 3000) || repeat(']', 3000))::jsonb`);
    await bad("null", `payload = 'null'`);
    await bad("far pause", "paused_until = '12000-01-01'");
    await bad("far start", "starts_at = '200000-01-01'");
    await bad("before Christ", "ends_at = '0044-03-15 BC'");
    await bad("infinite", "kind = 'once', run_at = 'infinity'");
    await bad("odd calendar", `kind = 'calendar', calendar = '{"times": [1e400]}'`);
    await addSchedule(service, { name: "good 2" });
    await plan(service.deps);
    const said = await problems();
    expect(said).toMatchObject({
      "good 1": null,
      "good 2": null,
      "huge number": "payload.max_strategies: must be a finite number",
      deep: expect.stringContaining("must not be nested deeper"),
      null: expect.stringContaining("payload: expected object"),
      "far pause": expect.stringContaining("paused_until: "),
      "far start": expect.stringContaining("starts_at: "),
      "before Christ": expect.stringContaining("ends_at: "),
      infinite: expect.stringContaining("run_at: "),
      "odd calendar": expect.stringContaining("calendar.times"),
    });
    expect(await events()).toHaveLength(8);
  });

  test("a problem that quotes half a character is told all the same", async () => {
    // Quotations are cut off after 77 characters: somewhere among these, in the middle of an emoji.
    for (let length = 70; length < 78; length += 1) {
      const source = [`${"x".repeat(length)}\u{1F600}${"y".repeat(40)}`];
      await addSchedule(service, { name: `cut ${length}`, payload: { source, max_strategies: 5 } });
    }
    await addSchedule(service, { name: "good" });
    await plan(service.deps);
    const said = await problems();
    const told = Object.fromEntries((await events()).map((event) => [event.name, event.problem]));
    expect(said).toEqual({ ...told, good: null });
    expect(Object.values(told).filter((problem) => problem.includes("\uFFFD"))).toHaveLength(1);
  });

  test("a validator that throws", async () => {
    for (const source of ["one", "two", "three"]) {
      await addSchedule(service, { name: source, payload: { source, max_strategies: 1 } });
    }
    const { actions } = service.deps;
    const find: ReturnType<Deps["actions"]>["find"] = (name, version) => ({
      ...actions().find(name, version)!,
      validatePayload(payload) {
        if ((payload as { source: string }).source === "two") throw new RangeError("Maximum call stack size exceeded");
        return [];
      },
    });
    await plan({ ...service.deps, actions: () => ({ ...actions(), find }) });
    expect(await problems()).toEqual({
      one: null,
      two: "schedule: cannot be planned: Maximum call stack size exceeded",
      three: null,
    });
  });

  test("a plan that Postgres refuses is found by halving the batch", async () => {
    for (let index = 0; index < 21; index += 1) await addSchedule(service, { name: `good ${index}` });
    const id = await addSchedule(service, { name: "bad" });
    await addSchedule(service, { name: "bad too", payload: {} });
    for (let index = 21; index < 40; index += 1) await addSchedule(service, { name: `good ${index}` });
    await service.rows(
      `ALTER TABLE schedules ADD CONSTRAINT odd CHECK (name <> 'bad' OR next_run_at IS NULL) NOT VALID`,
    );
    try {
      expect(await plan(service.deps)).toMatchObject({ planned: 42, problems: 2 });
    } finally {
      await service.rows("ALTER TABLE schedules DROP CONSTRAINT odd");
    }
    const said = await problems();
    expect(said.bad).toMatch(/^schedule: its plan cannot be stored: .*violates check constraint "odd"/);
    expect(Object.values(said).filter((problem) => problem !== null)).toHaveLength(2);
    expect((await events()).map((event) => event.name).sort()).toEqual(["bad", "bad too"]);
    expect(await service.rows("SELECT needs_planning, next_run_at FROM schedules WHERE id = $1", [id])).toEqual([
      { needs_planning: false, next_run_at: null },
    ]);
    await service.rows("UPDATE schedules SET description = 'another try' WHERE name = 'bad'");
    await plan(service.deps);
    expect((await problems()).bad).toBeNull();
  });

  test("the row of a missed occurrence is a copy, whatever the payload is", async () => {
    const id = await addSchedule(service, { name: "it" });
    await plan(service.deps);
    service.setNow("2026-03-01T09:32:10Z");
    const payload = '{"source": null, "big": 12345678901234567890.123456789, "huge": 1e400}';
    await service.rows("UPDATE schedules SET payload = $2 WHERE id = $1", [id, payload]);
    await plan(service.deps);
    expect(await service.rows("SELECT payload::text, result FROM runs")).toEqual([
      {
        payload: expect.stringContaining('"big": 12345678901234567890.123456789'),
        result: { first: "2026-03-01T09:31:00.000Z", last: "2026-03-01T09:32:00.000Z", count: 2 },
      },
    ]);
    await service.rows("DELETE FROM runs");
    await service.rows('UPDATE schedules SET payload = \'{"source": "s", "max_strategies": 1}\'');
    await plan(service.deps);
    service.setNow("2026-03-01T09:33:10Z");
    await service.rows("UPDATE schedules SET payload = 'null'");
    await plan(service.deps);
    expect(await service.rows("SELECT payload::text FROM runs")).toEqual([{ payload: "null" }]);
  });
});

describe("what a plan depends on beside its row", () => {
  test("a pool that is made mends the schedules that named it; one that vanishes breaks them", async () => {
    await addSchedule(service, { name: "pooled", pool: "late" });
    await plan(service.deps);
    expect((await problems()).pooled).toBe('pool: there is no pool "late"');
    await service.rows("INSERT INTO pools (name) VALUES ('late')");
    expect(await plan(service.deps)).toMatchObject({ planned: 1, problems: 0 });
    await service.rows("DELETE FROM pools WHERE name = 'late'");
    expect(await plan(service.deps)).toMatchObject({ planned: 1, problems: 1 });
  });

  test("breaking a cycle anywhere mends all of it", async () => {
    const names = ["a", "b", "c", "d"];
    const ids: string[] = [];
    for (const name of names) ids.push(await addSchedule(service, { name }));
    const depends = (name: string, on: string[]) =>
      service.rows("UPDATE schedules SET depends_on = $2 WHERE name = $1", [name, on]);
    await depends("a", [ids[1]!]);
    await depends("b", [ids[2]!]);
    await depends("c", [ids[0]!]);
    await depends("d", [ids[0]!]);
    await plan(service.deps);
    const cycle = "depends_on: the schedule would wait for itself (a cycle)";
    expect(await problems()).toEqual({ a: cycle, b: cycle, c: cycle, d: null });
    await depends("c", []);
    const rounds = [];
    for (;;) {
      const result = await plan(service.deps);
      rounds.push(result.planned);
      if (!result.full) break;
    }
    expect(rounds).toEqual([1, 1, 1]);
    expect(await problems()).toEqual({ a: null, b: null, c: null, d: null });
  });

  test("a dependency that is added later, or deleted", async () => {
    const id = "0199e1aa-0000-7000-8000-000000000001";
    await addSchedule(service, { name: "dependent", depends_on: [id] });
    await plan(service.deps);
    expect((await problems()).dependent).toBe(`depends_on: there is no schedule ${id}`);
    await addSchedule(service, { id, name: "dependency" });
    await plan(service.deps);
    await plan(service.deps);
    expect((await problems()).dependent).toBeNull();
    await service.rows("DELETE FROM schedules WHERE id = $1", [id]);
    await plan(service.deps);
    expect((await problems()).dependent).toBe(`depends_on: there is no schedule ${id}`);
  });
});
