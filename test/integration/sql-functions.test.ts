import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Deps } from "../../src/deps.ts";
import { answerRequests } from "../../src/passes/answer-requests.ts";
import { plan } from "../../src/passes/plan.ts";
import { supervise } from "../../src/passes/supervise.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;
/** Roles belong to the server, not to the database: this one is for this file's run alone. */
const role = `pocketwatch_ops_${Math.random().toString(36).slice(2)}`;
let ops: pg.Client;

beforeAll(async () => {
  service = await startTestService();
  const url = new URL(service.url);
  await service.rows(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  url.username = role;
  url.password = "secret";
  ops = new pg.Client(url.href);
  await ops.connect();
});
afterAll(async () => {
  await ops.end();
  await service.rows(`DROP OWNED BY ${role}`);
  await service.rows(`DROP ROLE ${role}`);
  await service.stop();
});
beforeEach(async () => {
  service.setNow(null);
  service.woken.length = 0;
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE runs, leases, outbox, requests, audit");
});

const call = async (text: string, ...values: unknown[]) => {
  const [row] = await service.rows<{ answer: unknown }>(`SELECT ${text} AS answer`, values);
  return row!.answer;
};
const request = async (id: unknown) => {
  const [row] = await service.rows<Record<string, unknown>>("SELECT * FROM requests WHERE id = $1", [id]);
  return row!;
};
const schedule = async () => (await service.rows<Record<string, unknown>>("SELECT * FROM schedules"))[0]!;

describe("pocketwatch_trigger", () => {
  test("asks for a run, which the service makes", async () => {
    await addSchedule(service, { name: "it", kind: "manual" });
    await plan(service.deps);
    const id = await call("pocketwatch_trigger('it')");
    expect(await request(id)).toMatchObject({ source: "sql", schedule_name: "it", payload: null, status: "pending" });

    expect(await answerRequests(service.deps)).toEqual({ answered: 1, refused: 0, full: false, next_in_ms: null });
    const answer = await request(id);
    expect(answer).toMatchObject({ status: "done", problem: null, answered_at: expect.any(Number) });
    expect(await service.rows("SELECT id, status, trigger_type, triggered_by, payload FROM runs")).toEqual([
      {
        id: answer.run_id,
        status: "pending",
        trigger_type: "manual",
        triggered_by: answer.requested_by,
        payload: { source: "stratninja", max_strategies: 5 },
      },
    ]);
    expect(await schedule()).toMatchObject({ next_run_at: null, run_count: 0, last_run_id: answer.run_id });
    expect(service.woken).toContain("dispatch");
    expect(await answerRequests(service.deps)).toMatchObject({ answered: 0 });
  });

  test("with another payload, which is checked, and kept to the last digit", async () => {
    await addSchedule(service, { name: "it" });
    await plan(service.deps);
    const good = await call(`pocketwatch_trigger('it', '{"source": "other", "max_strategies": 1}')`);
    const bad = await call(`pocketwatch_trigger(name => 'it', payload => '{"source": 1e400}')`);
    const none = await call("pocketwatch_trigger('it', 'null')");
    expect(await answerRequests(service.deps)).toMatchObject({ answered: 1, refused: 2 });
    expect(await request(good)).toMatchObject({ status: "done" });
    expect(await request(bad)).toMatchObject({
      status: "refused",
      run_id: null,
      problem: expect.stringContaining("payload.source: "),
    });
    expect(await request(none)).toMatchObject({ problem: expect.stringContaining("payload: expected object") });
    expect(await service.rows("SELECT payload->>'source' AS source FROM runs")).toEqual([{ source: "other" }]);

    const anything: Deps = {
      ...service.deps,
      actions: () => ({
        ...service.deps.actions(),
        find: (name, version) => ({ ...service.deps.actions().find(name, version)!, validatePayload: () => [] }),
      }),
    };
    await service.rows(`UPDATE schedules SET payload = '{"id": 12345678901234567890, "sum": 0.10}', overlap = 'allow'`);
    await service.rows("TRUNCATE runs");
    await call("pocketwatch_trigger('it')");
    await call(`pocketwatch_trigger('it', '{"id": 98765432109876543210}')`);
    await answerRequests(anything);
    expect(await service.rows("SELECT payload::text FROM runs ORDER BY payload::text")).toEqual([
      { payload: '{"id": 12345678901234567890, "sum": 0.10}' },
      { payload: '{"id": 98765432109876543210}' },
    ]);
  });

  test("an edit of a moment ago counts already, and what is wrong with it is said", async () => {
    await addSchedule(service, { name: "it", payload: {} });
    const refused = await call("pocketwatch_trigger('it')");
    await answerRequests(service.deps);
    expect(await request(refused)).toMatchObject({
      status: "refused",
      problem: "the schedule cannot be used: payload.source: is required; payload.max_strategies: is required",
    });
    expect(await service.rows("SELECT routing_key FROM outbox")).toEqual([{ routing_key: "schedule.problem.v1" }]);
    expect(await plan(service.deps)).toMatchObject({ planned: 0 });

    await service.rows(`UPDATE schedules SET payload = '{"source": "s", "max_strategies": 1}'`);
    const done = await call("pocketwatch_trigger('it')");
    await answerRequests(service.deps);
    expect(await request(done)).toMatchObject({ status: "done" });
    expect(await schedule()).toMatchObject({ needs_planning: false, problem: null, next_run_at: expect.any(Number) });
  });

  test("works on a paused and on a disabled schedule, and obeys overlap", async () => {
    await addSchedule(service, { name: "paused", paused_until: "infinity" });
    await addSchedule(service, { name: "disabled", enabled: false, overlap: "buffer_one" });
    await plan(service.deps);
    for (let count = 0; count < 2; count += 1) {
      await call("pocketwatch_trigger('paused')");
      await call("pocketwatch_trigger('disabled')");
    }
    expect(await answerRequests(service.deps)).toMatchObject({ answered: 4, refused: 0 });
    expect(
      await service.rows("SELECT schedule_name, status, status_reason FROM runs ORDER BY schedule_name, status"),
    ).toEqual([
      { schedule_name: "disabled", status: "pending", status_reason: null },
      { schedule_name: "disabled", status: "waiting", status_reason: "buffered" },
      { schedule_name: "paused", status: "pending", status_reason: null },
      { schedule_name: "paused", status: "skipped", status_reason: "overlap" },
    ]);
    expect(await service.rows("SELECT FROM requests WHERE status = 'done' AND run_id IS NOT NULL")).toHaveLength(4);
  });

  test("a schedule with targets becomes a parent to be expanded", async () => {
    await addSchedule(service, { name: "it", targets: ["a", "b"] });
    await call("pocketwatch_trigger('it')");
    await answerRequests(service.deps);
    expect(await service.rows("SELECT child_total, targets FROM runs")).toEqual([
      { child_total: 2, targets: ["a", "b"] },
    ]);
    expect(service.woken).toContain("expand");
  });

  test("a name that nobody has is refused at once, with a hint", async () => {
    await addSchedule(service, { name: "Nightly Scout" });
    await expect(call("pocketwatch_trigger(' nightly scout')")).rejects.toMatchObject({
      code: "P0002",
      message: 'there is no schedule " nightly scout"',
      hint: 'Names are compared letter by letter. Did you mean "Nightly Scout"?',
    });
    await expect(call("pocketwatch_pause('nobody')")).rejects.toMatchObject({
      code: "P0002",
      hint: expect.stringContaining("SELECT name FROM schedule_overview"),
    });
    await expect(call("pocketwatch_resume(NULL)")).rejects.toMatchObject({ code: "22004" });
    // One that is deleted or renamed before the service comes to it.
    const id = await call("pocketwatch_trigger('Nightly Scout')");
    await service.rows("UPDATE schedules SET name = 'Another'");
    await service.rows("INSERT INTO requests (source) VALUES ('sql')");
    expect(await answerRequests(service.deps)).toMatchObject({ answered: 0, refused: 2 });
    expect(await request(id)).toMatchObject({ problem: 'there is no schedule "Nightly Scout"' });
  });
});

describe("requests", () => {
  test("one that cannot be stored does not stop the others", async () => {
    for (const name of ["a", "b", "c"]) {
      await addSchedule(service, { name });
      await call("pocketwatch_trigger($1)", name);
    }
    await plan(service.deps);
    await service.rows("ALTER TABLE runs ADD CONSTRAINT odd CHECK (schedule_name <> 'b') NOT VALID");
    try {
      expect(await answerRequests(service.deps)).toMatchObject({ answered: 2, refused: 1 });
    } finally {
      await service.rows("ALTER TABLE runs DROP CONSTRAINT odd");
    }
    expect(await service.rows("SELECT problem FROM requests WHERE status = 'refused'")).toEqual([
      { problem: expect.stringContaining('violates check constraint "odd"') },
    ]);
    expect(await service.rows("SELECT schedule_name FROM runs ORDER BY 1")).toEqual([
      { schedule_name: "a" },
      { schedule_name: "c" },
    ]);
  });

  test("one whose schedule somebody keeps locked waits, and holds up nobody", async () => {
    await addSchedule(service, { name: "locked" });
    await addSchedule(service, { name: "free" });
    await plan(service.deps);
    for (const name of ["locked", "locked", "free"]) await call("pocketwatch_trigger($1)", name);
    await service.database.transaction(async (tx) => {
      await tx.query("SELECT FROM schedules WHERE name = 'locked' FOR UPDATE");
      expect(await answerRequests(service.deps, 1)).toMatchObject({ answered: 1, full: true, next_in_ms: 250 });
      expect(await answerRequests(service.deps)).toMatchObject({ answered: 0, refused: 0, next_in_ms: 250 });
    });
    expect(await answerRequests(service.deps)).toMatchObject({ answered: 2, next_in_ms: null });
  });

  test("two instances answer each of them once", async () => {
    for (let index = 0; index < 10; index += 1) await addSchedule(service, { name: `s${index}`, overlap: "allow" });
    await service.rows(
      "INSERT INTO requests (source, schedule_name) SELECT 'sql', 's' || n % 10 FROM generate_series(1, 200) AS n",
    );
    const other = await service.sibling("test-2");
    const drain = async (deps: Deps) => {
      for (;;) {
        const { full, next_in_ms } = await answerRequests(deps, 7);
        if (!full && next_in_ms === null) return;
      }
    };
    await Promise.all([drain(service.deps), drain(other.deps)]);
    expect(
      await service.rows("SELECT count(*), count(DISTINCT run_id) AS runs FROM requests WHERE status = 'done'"),
    ).toEqual([{ count: 200, runs: 200 }]);
    expect(await service.rows("SELECT count(*) FROM runs")).toEqual([{ count: 200 }]);
  });

  test("a key of one's own makes asking idempotent", async () => {
    await addSchedule(service, { name: "it" });
    const ask = () =>
      service.rows(
        `INSERT INTO requests (source, key, schedule_name) VALUES ('etl', '2026-03-01', 'it')
         ON CONFLICT ON CONSTRAINT requests_source_key DO NOTHING RETURNING id`,
      );
    expect(await ask()).toHaveLength(1);
    expect(await ask()).toHaveLength(0);
    expect(await answerRequests(service.deps)).toMatchObject({ answered: 1 });
    expect(await ask()).toHaveLength(0);
  });
});

describe("pocketwatch_pause and pocketwatch_resume", () => {
  test("until further notice, with a note; told to everybody", async () => {
    const id = await addSchedule(service, { name: "it", consecutive_failures: 2 });
    await plan(service.deps);
    expect(await call("pocketwatch_pause('it', note => 'disk is full')")).toBe(Number.POSITIVE_INFINITY);
    await plan(service.deps);
    expect(await schedule()).toMatchObject({
      paused_until: Number.POSITIVE_INFINITY,
      pause_note: "disk is full",
      next_run_at: null,
    });
    expect(await service.rows("SELECT exchange, routing_key, subject, data FROM outbox")).toEqual([
      {
        exchange: "events",
        routing_key: "schedule.paused.v1",
        subject: `schedules/${id}`,
        data: {
          schedule_id: id,
          schedule_name: "it",
          reason: "requested",
          paused_until: null,
          note: "disk is full",
          consecutive_failures: 2,
        },
      },
    ]);
    expect(await call("pocketwatch_resume('it')")).toBe(true);
    await plan(service.deps);
    expect(await schedule()).toMatchObject({
      paused_until: null,
      pause_note: null,
      consecutive_failures: 0,
      next_run_at: expect.any(Number),
    });
    expect(await call("pocketwatch_resume('it')")).toBe(false);
  });

  test("until an instant, which has to lie ahead", async () => {
    service.setNow("2026-03-01T09:30:00Z");
    await addSchedule(service, { name: "it" });
    expect(await call("pocketwatch_pause('it', '2026-03-01 14:00+02')")).toBe(Date.parse("2026-03-01T12:00:00Z"));
    await plan(service.deps);
    expect(await schedule()).toMatchObject({ next_run_at: Date.parse("2026-03-01T12:00:00Z") });
    expect(await service.rows("SELECT data->>'paused_until' AS until FROM outbox")).toEqual([
      { until: "2026-03-01T12:00:00.000Z" },
    ]);
    await expect(call("pocketwatch_pause('it', '2026-03-01T09:30:00Z')")).rejects.toMatchObject({
      code: "22023",
      hint: expect.stringContaining("pocketwatch_resume"),
    });
  });

  test("resuming may catch up", async () => {
    service.setNow("2026-03-01T09:30:30Z");
    await addSchedule(service, { name: "it" });
    await plan(service.deps);
    await call("pocketwatch_pause('it')");
    await plan(service.deps);
    service.setNow("2026-03-01T09:35:30Z");
    expect(await call("pocketwatch_resume('it', catch_up => true)")).toBe(true);
    await plan(service.deps);
    expect(await schedule()).toMatchObject({ next_run_at: Date.parse("2026-03-01T09:31:00Z") });
  });
});

describe("pocketwatch_cancel", () => {
  test("flags a run for supervise, and says whether there was anything to cancel", async () => {
    await addSchedule(service, { name: "it", kind: "manual" });
    await call("pocketwatch_trigger('it')");
    await answerRequests(service.deps);
    const [run] = await service.rows<{ id: string }>("SELECT id FROM runs");
    expect(await call("pocketwatch_cancel($1)", run!.id)).toBe(true);
    expect(await call("pocketwatch_cancel($1)", run!.id)).toBe(false);
    await supervise(service.deps, { id: "test-1", version: "1", broker: "ready", passes: {} });
    expect(await service.rows("SELECT status, reason FROM run_history")).toEqual([
      { status: "cancelled", reason: "requested" },
    ]);
    expect(await call("pocketwatch_cancel($1)", run!.id)).toBe(false);
    await expect(call("pocketwatch_cancel(gen_random_uuid())")).rejects.toMatchObject({ code: "P0002" });
  });
});

describe("rights", () => {
  test("a role that may call the functions needs nothing else, and nobody may without being told so", async () => {
    await addSchedule(service, { name: "it" });
    await plan(service.deps);
    for (const text of ["pocketwatch_trigger('it')", "pocketwatch_pause('it')", "pocketwatch_resume('it')"]) {
      await expect(ops.query(`SELECT ${text}`)).rejects.toMatchObject({ code: "42501" });
    }
    await service.rows(`
      GRANT EXECUTE ON FUNCTION pocketwatch_trigger, pocketwatch_pause, pocketwatch_resume TO ${role};
      GRANT SELECT ON schedule_overview, run_history, due_now TO ${role}`);
    // What a caller puts in its way is not looked at.
    await ops.query("CREATE TEMP TABLE requests (LIKE pg_class); CREATE TEMP TABLE schedules (name text)");
    await ops.query("SET search_path = pg_temp, public");
    await ops.query("SELECT pocketwatch_trigger('it'), pocketwatch_pause('it')");
    await ops.query("SELECT pocketwatch_resume('it')");
    await expect(ops.query("SELECT pocketwatch_pause('no')")).rejects.toMatchObject({ code: "P0002" });
    await expect(ops.query("UPDATE public.schedules SET payload = '{}'")).rejects.toMatchObject({ code: "42501" });
    expect((await ops.query("SELECT state FROM schedule_overview")).rows).toEqual([{ state: "active" }]);

    expect(await answerRequests(service.deps)).toMatchObject({ answered: 1 });
    expect(await service.rows("SELECT triggered_by FROM runs")).toEqual([{ triggered_by: role }]);
    expect(await service.rows("SELECT DISTINCT who FROM audit WHERE operation = 'update'")).toEqual([
      { who: `role:${role}` },
    ]);
  });

  test("a role that may edit schedules needs no rights on what its edits lead to", async () => {
    await service.rows(`GRANT SELECT, INSERT, UPDATE, DELETE ON schedules, pools TO ${role}`);
    const id = await addSchedule(service, { name: "first" });
    await addSchedule(service, { name: "dependent", depends_on: [id] });
    await plan(service.deps);
    await ops.query(`
      INSERT INTO public.schedules (name, kind, action) VALUES ('mine', 'manual', 'scout.trigger');
      UPDATE public.schedules SET description = 'x' WHERE name = 'mine';
      DELETE FROM public.schedules WHERE name = 'first';
      DELETE FROM public.schedules WHERE name = 'mine';
      INSERT INTO public.pools (name) VALUES ('mine');
      DELETE FROM public.pools WHERE name = 'mine'`);
    expect(
      await service.rows("SELECT operation, subject FROM audit WHERE who = $1 ORDER BY id", [`role:${role}`]),
    ).toEqual([
      { operation: "insert", subject: "mine" },
      { operation: "update", subject: "mine" },
      { operation: "delete", subject: "first" },
      { operation: "delete", subject: "mine" },
      { operation: "insert", subject: "mine" },
      { operation: "delete", subject: "mine" },
    ]);
    await expect(ops.query("DELETE FROM public.audit")).rejects.toMatchObject({ code: "42501" });
  });
});
