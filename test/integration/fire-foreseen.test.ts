import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { setSetting } from "../../src/database/settings.ts";
import type { Deps } from "../../src/deps.ts";
import { fire } from "../../src/passes/fire.ts";
import { batchSize, fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { Outlook } from "../../src/passes/outlook.ts";
import { plan } from "../../src/passes/plan.ts";
import { Unavailable } from "../../src/schedule/errors.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { addSchedule, addSchedules } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;
let consumer: TestConsumer;
let outlook: Outlook;

beforeAll(async () => {
  service = await startTestService();
  consumer = await startTestConsumer(service.names, "scout.trigger.v1");
});
afterAll(async () => {
  await consumer.close();
  await service.stop();
});
beforeEach(async () => {
  service.setNow(null);
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE agenda, runs, leases, outbox, run_attempts, settings");
  await service.rows("UPDATE pools SET max_in_flight = NULL, drained = false");
  consumer.triggers.length = 0;
  outlook = new Outlook();
});

const NOON = Date.parse("2026-03-01T12:00:00Z");

async function planned(columns: Record<string, unknown> = {}) {
  service.setNow(NOON - 30_000);
  const id = await addSchedule(service, columns);
  await plan(service.deps);
  return id;
}

/** Runs the pass as its loop does, until it would sleep. */
async function turn(at: number, deps: Deps = service.deps, its = outlook) {
  service.setNow(at);
  let fired = 0;
  for (;;) {
    const result = await fireOnTime(deps, its);
    await result.published;
    fired += result.fired;
    const due = result.fired > 0 || (result.next_in_ms ?? 1) <= 0;
    if (!result.full && !due) return { fired, next_in_ms: result.next_in_ms };
  }
}

const runs = () =>
  service.rows<Record<string, unknown>>(
    `SELECT id, schedule_name, status, status_reason, scheduled_for, result, payload FROM runs ORDER BY scheduled_for, schedule_name`,
  );
/** Statements that claim due rows, as against those that fire what was foreseen. */
async function claimsDuring(work: () => Promise<unknown>): Promise<number> {
  let claims = 0;
  const counting: Deps["database"] = {
    ...service.database,
    transaction: (inner, options) =>
      service.database.transaction(
        (tx) =>
          inner({
            ...tx,
            orm: tx.orm,
            query: (statement, values) => {
              if (typeof statement !== "string" && statement.name === "claim_due") claims += 1;
              return tx.query(statement, values);
            },
          }),
        options,
      ),
  };
  const { database } = service.deps;
  Object.assign(service.deps, { database: counting });
  await work().finally(() => Object.assign(service.deps, { database }));
  return claims;
}

describe("what was foreseen", () => {
  test("is fired without being claimed, to the same rows and the same event as what is claimed", async () => {
    await planned({ name: "a", max_runs: 2, labels: { team: "x" } });
    await turn(NOON - 1_000);
    service.deps.metrics.runs_created.reset();
    expect(await claimsDuring(() => turn(NOON + 10))).toBe(0);
    const counted = await service.deps.metrics.runs_created.get();
    const [foreseen] = await consumer.received(1);
    const rows = () =>
      Promise.all([
        service.rows<Record<string, unknown>>("SELECT to_jsonb(runs) - 'id' - 'schedule_id' AS run FROM runs"),
        service.rows<Record<string, unknown>>(
          "SELECT to_jsonb(schedules) - 'id' - 'last_run_id' - 'created_at' - 'entered_by' AS schedule FROM schedules",
        ),
        service.rows("SELECT * FROM leases"),
      ]);
    const written = await rows();

    await service.rows("DELETE FROM schedules");
    await service.rows("TRUNCATE runs");
    consumer.triggers.length = 0;
    await planned({ name: "a", max_runs: 2, labels: { team: "x" } });
    service.setNow(NOON + 10);
    service.deps.metrics.runs_created.reset();
    await (await fire(service.deps)).published;
    expect(counted).toEqual(await service.deps.metrics.runs_created.get());
    const [claimed] = await consumer.received(1);
    expect(written).toEqual(await rows());
    const own = { run_id: "", schedule_id: "" };
    expect({ ...foreseen!.data, ...own }).toEqual({ ...claimed!.data, ...own });
    expect(foreseen!.message.properties.expiration).toEqual(claimed!.message.properties.expiration);
  });

  test("is foreseen again when it has fired: nothing is read or claimed for the next occurrence", async () => {
    await planned({
      kind: "interval",
      interval_seconds: 1,
      starts_at: "2026-03-01T12:00:00Z",
      overlap: "allow",
      max_runs: 4,
    });
    await turn(NOON - 500);
    const claims = await claimsDuring(async () => {
      for (const seconds of [0, 1, 2, 3, 4]) await turn(NOON + seconds * 1_000);
    });
    expect(claims).toBe(0);
    expect((await runs()).map((run) => run.scheduled_for)).toEqual(
      [0, 1, 2, 3].map((seconds) => NOON + seconds * 1_000),
    );
    expect(await service.rows("SELECT next_run_at, run_count FROM schedules")).toEqual([
      { next_run_at: null, run_count: 4 },
    ]);
  });

  test("is looked at a few seconds ahead, for which fire wakes", async () => {
    await planned();
    expect(await turn(NOON - 20_000)).toEqual({ fired: 0, next_in_ms: 15_000 });
    expect(await turn(NOON - 5_000)).toEqual({ fired: 0, next_in_ms: 5_000 });
    expect(await claimsDuring(() => turn(NOON))).toBe(0);
    expect(await runs()).toHaveLength(1);
  });

  test("is foreseen also while something else is due at any time", async () => {
    const every = { kind: "interval", interval_seconds: 60, overlap: "allow" };
    for (let second = 0; second < 4; second += 1) {
      await planned({ ...every, name: `${second}`, starts_at: new Date(NOON + second * 1_000).toISOString() });
    }
    // Nobody looked ahead before noon: the first one is claimed, and the second one, before what is ahead has been read.
    const claims: number[] = [];
    for (let second = 0; second < 4; second += 1) {
      service.setNow(NOON + second * 1_000);
      const fired = async () => expect((await fireOnTime(service.deps, outlook)).fired).toBe(1);
      claims.push(await claimsDuring(fired));
    }
    expect(claims).toEqual([1, 1, 0, 0]);
  });

  test("those that stand on the agenda twice, and are read in two chunks, fire once", async () => {
    service.setNow(NOON - 30_000);
    await addSchedules(service, 600);
    await plan(service.deps);
    await service.rows("UPDATE schedules SET needs_planning = true");
    await plan(service.deps);
    expect(await service.rows("SELECT sum(cardinality(schedule_ids))::int AS n FROM agenda")).toEqual([{ n: 1_200 }]);
    await turn(NOON - 1_000);
    const { query } = service.database;
    const failed: unknown[] = [];
    const watching: Deps["database"]["query"] = (statement, values) =>
      query<never>(statement, values).catch((error) => {
        failed.push(error);
        throw error;
      });
    const database = { ...service.database, query: watching };
    expect(await turn(NOON, { ...service.deps, database })).toMatchObject({ fired: 600 });
    expect(failed).toEqual([]);
  });

  test("thousands at one instant are read in chunks, each once, and all of them fire", async () => {
    service.setNow(NOON - 30_000);
    await addSchedules(service, 1_300);
    while ((await plan(service.deps)).planned > 0);
    await turn(NOON - 1_000);
    const { foreseen } = outlook.takeDue(NOON, 5_000);
    expect(foreseen).toHaveLength(1_300);
    expect(new Set(foreseen.map(({ schedule }) => schedule.id)).size).toBe(1_300);
    outlook = new Outlook();
    await turn(NOON - 900);
    const claims = await claimsDuring(() => turn(NOON));
    expect(claims).toBe(0);
    const triggers = await consumer.received(1_300);
    expect(new Set(triggers.map(({ id }) => id)).size).toBe(1_300);
    expect(await service.rows("SELECT count(*)::int AS n FROM runs WHERE status = 'dispatched'")).toEqual([
      { n: 1_300 },
    ]);
  });

  test("two instances that foresaw the same fire every occurrence once", async () => {
    const other = await service.sibling("test-2");
    service.setNow(NOON - 30_000);
    for (let index = 0; index < 120; index += 1) await addSchedule(service, { name: `many ${index}` });
    await plan(service.deps);
    const theirs = new Outlook();
    other.setNow(NOON - 1_000);
    await turn(NOON - 1_000);
    await turn(NOON - 1_000, other.deps, theirs);
    other.setNow(NOON);
    await Promise.all([turn(NOON), turn(NOON, other.deps, theirs)]);
    // Rows that the other one held at that moment are claimed a little later.
    await turn(NOON + 50);
    const triggers = await consumer.received(120);
    expect(new Set(triggers.map(({ id }) => id)).size).toBe(120);
    expect(await runs()).toHaveLength(120);
  });
});

describe("what has changed since it was foreseen", () => {
  const edit = (text: string) => () => service.rows(text);
  /** An exclusive run of the schedule, which its row does not tell of. */
  const addRun = (status: string, reason: string | null = null) =>
    service.rows(
      `INSERT INTO runs (schedule_id, schedule_name, action, action_version, trigger_type, scheduled_for, exclusive, status, status_reason)
       SELECT id, 'by hand', action, 1, 'manual', '2026-03-01', true, $1, $2 FROM schedules`,
      [status, reason],
    );
  const CASES: readonly [string, Record<string, unknown>, () => Promise<unknown>, Record<string, unknown>[]][] = [
    ["disabled", {}, edit("UPDATE schedules SET enabled = false"), []],
    ["deleted", {}, edit("DELETE FROM schedules"), []],
    ["paused", {}, edit("UPDATE schedules SET paused_until = 'infinity'"), []],
    ["moved to another time", {}, edit("UPDATE schedules SET cron_expression = '30 * * * *'"), []],
    [
      "another payload",
      {},
      edit(`UPDATE schedules SET payload = '{"source": "other", "max_strategies": 1}'`),
      [{ status: "dispatched", payload: { source: "other", max_strategies: 1 } }],
    ],
    [
      "a pool that is full",
      {},
      edit("UPDATE pools SET max_in_flight = 0"),
      [{ status: "pending", status_reason: null }],
    ],
    ["a drained pool", {}, edit("UPDATE pools SET drained = true"), [{ status: "pending" }]],
    [
      "a drained scheduler",
      {},
      () => service.database.transaction((tx) => setSetting(tx, "drained", true)),
      [{ status: "pending" }],
    ],
    [
      "an unfinished run",
      {},
      () => addRun("running"),
      [{ status: "running" }, { status: "skipped", status_reason: "overlap" }],
    ],
    [
      "a run that waits",
      { overlap: "buffer_all" },
      () => addRun("waiting", "buffered"),
      // Released at once, since nothing else is in the way; the occurrence waits behind it.
      [{ status: "pending" }, { status: "waiting", status_reason: "buffered" }],
    ],
  ];
  test.each(CASES)("%s", async (_, columns, change, expected) => {
    await planned({ name: "it", ...columns });
    await turn(NOON - 1_000);
    await change();
    await plan(service.deps);
    await turn(NOON);
    expect(await runs()).toMatchObject(expected);
    expect(await service.rows("SELECT * FROM leases")).toEqual([]);
  });

  test("its own last run, which has not ended: it is skipped", async () => {
    await planned({ kind: "interval", interval_seconds: 2, starts_at: "2026-03-01T12:00:00Z", overlap: "skip" });
    await turn(NOON - 1_000);
    expect(await claimsDuring(() => turn(NOON))).toBe(0);
    await turn(NOON + 2_000);
    expect(await runs()).toMatchObject([
      { status: "dispatched", scheduled_for: NOON },
      { status: "skipped", status_reason: "overlap", scheduled_for: NOON + 2_000 },
    ]);
  });

  test("busy when it was foreseen, and free at its instant: it is not claimed", async () => {
    await planned();
    await addRun("running");
    await turn(NOON - 1_000);
    await service.rows("UPDATE runs SET status = 'completed', completed_at = '2026-03-01'");
    expect(await claimsDuring(() => turn(NOON))).toBe(0);
    expect(await runs()).toMatchObject([{ status: "completed" }, { status: "dispatched" }]);
  });

  test("the run exists already: nothing is inserted, and the schedule advances all the same", async () => {
    await planned({ overlap: "allow" });
    await turn(NOON);
    await service.rows("UPDATE schedules SET next_run_at = '2026-03-01T12:00:00Z'");
    outlook = new Outlook();
    await turn(NOON - 1);
    expect((await turn(NOON + 20)).fired).toBe(0);
    expect(await runs()).toHaveLength(1);
    expect(await service.rows("SELECT next_run_at FROM schedules")).toEqual([{ next_run_at: NOON + 60_000 }]);
  });

  test("more occurrences than one have passed: catch-up decides", async () => {
    await planned({ kind: "interval", interval_seconds: 1, starts_at: "2026-03-01T12:00:00Z", overlap: "allow" });
    await turn(NOON - 500);
    await turn(NOON + 3_200);
    expect(await runs()).toMatchObject([
      { status: "skipped", status_reason: "missed", scheduled_for: NOON, result: { count: 3 } },
      { status: "dispatched", scheduled_for: NOON + 3_000 },
    ]);
  });

  test("one row is damaged by hand: it is set aside, the others fire", async () => {
    for (const name of ["a", "b", "c"]) await planned({ name });
    await service.rows(`UPDATE schedules SET resolved = jsonb_set(resolved, '{priority}', '7') WHERE name = 'b'`);
    await turn(NOON - 1_000);
    expect((await turn(NOON)).fired).toBe(2);
    expect((await runs()).map((run) => run.schedule_name)).toEqual(["a", "c"]);
    expect(await service.rows("SELECT name, next_run_at FROM schedules WHERE problem IS NOT NULL")).toEqual([
      { name: "b", next_run_at: null },
    ]);
  });
});

describe("two batches are written side by side", () => {
  /** Both of them, by a pass that shows each of its statements to `look` first, with its values; what that throws is the answer. */
  function fireTwo(look: (values: readonly unknown[]) => void) {
    const { database } = service.deps;
    const watched: Deps["database"] = {
      ...database,
      query: async (statement, values) => {
        if (typeof statement !== "string" && statement.name === "fire_foreseen") look(values!);
        return database.query(statement, values);
      },
    };
    return fireOnTime({ ...service.deps, database: watched }, outlook, 1);
  }

  test("and both are fired by one pass, each under its own lease", async () => {
    for (const name of ["a", "b", "c"]) await planned({ name });
    await turn(NOON - 1_000);
    service.setNow(NOON);
    const leases: unknown[] = [];
    const result = await fireTwo((values) => leases.push(values[6]));
    await result.published;
    expect(result).toMatchObject({ fired: 2, full: true });
    expect(new Set(leases).size).toBe(2);
    expect((await turn(NOON)).fired).toBe(1);
    expect((await runs()).map((run) => [run.schedule_name, run.status])).toEqual(
      ["a", "b", "c"].map((name) => [name, "dispatched"]),
    );
    expect(await service.rows("SELECT * FROM leases")).toEqual([]);
  });

  test("one that cannot be written fails the pass, which ends when the other one is with the broker", async () => {
    for (const name of ["a", "b"]) await planned({ name });
    await turn(NOON - 1_000);
    service.setNow(NOON);
    let statements = 0;
    const fired = fireTwo(() => {
      statements += 1;
      if (statements === 1) throw new Unavailable("no connection");
    });
    await expect(fired).rejects.toThrow(Unavailable);
    expect(await runs()).toMatchObject([{ status: "dispatched" }]);
    expect(await service.rows("SELECT * FROM leases")).toEqual([]);
    // The failed one is still due.
    expect((await turn(NOON)).fired).toBe(1);
    expect(await runs()).toHaveLength(2);
  });

  test("one that a damaged row is in is claimed, and the other has been fired", async () => {
    for (const name of ["a", "b"]) await planned({ name });
    await service.rows(`UPDATE schedules SET resolved = jsonb_set(resolved, '{priority}', '7') WHERE name = 'b'`);
    await turn(NOON - 1_000);
    service.setNow(NOON);
    const claims = await claimsDuring(async () => {
      const result = await fireOnTime(service.deps, outlook, 1);
      await result.published;
      expect(result.fired).toBe(1);
    });
    // Whole first, then by halves.
    expect(claims).toBe(2);
    expect(await runs()).toMatchObject([{ schedule_name: "a", status: "dispatched" }]);
    expect(await service.rows("SELECT name FROM schedules WHERE problem IS NOT NULL")).toEqual([{ name: "b" }]);
  });
});

test("a batch is a twentieth of what is due, and has a least and a most", () => {
  expect([1, 10_000, 15_001, 20_000, 1_000_000].map(batchSize)).toEqual([500, 500, 751, 1_000, 1_000]);
});

test("an outlook has room for so many and no more; the rest is claimed", async () => {
  for (let index = 0; index < 30; index += 1) await planned({ name: `many ${index}` });
  outlook = new Outlook({ room: 10 * 2_048 });
  await turn(NOON - 1_000);
  expect(outlook.full).toBe(true);
  await turn(NOON);
  expect(outlook.full).toBe(false);
  expect(await service.rows("SELECT count(*)::int AS n FROM runs WHERE status = 'dispatched'")).toEqual([{ n: 30 }]);
});

test("without a broker it is claimed, and the outlook does not fill up", async () => {
  for (let index = 0; index < 10; index += 1) await planned({ name: `many ${index}` });
  outlook = new Outlook({ room: 10 * 1_200 });
  await turn(NOON - 1_000);
  expect(outlook.full).toBe(true);
  const away = { ...service.deps, publisher: { ...service.deps.publisher, ready: false } };
  await turn(NOON, away);
  expect(outlook.full).toBe(false);
  expect(await service.rows("SELECT count(*)::int AS n FROM runs WHERE status = 'pending'")).toEqual([{ n: 10 }]);
});
