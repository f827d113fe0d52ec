import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { resetBreaker } from "../../src/database/breakers.ts";
import { reviveRun } from "../../src/database/revive-run.ts";
import { insertScheduleRun } from "../../src/database/schedule-runs.ts";
import type { RunRow } from "../../src/database/schema.ts";
import { setSetting } from "../../src/database/settings.ts";
import { requestCancel } from "../../src/database/waiting-runs.ts";
import type { Deps } from "../../src/deps.ts";
import type { Outcome } from "../../src/messaging/outgoing.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { expand } from "../../src/passes/expand.ts";
import { fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { Outlook } from "../../src/passes/outlook.ts";
import { supervise } from "../../src/passes/supervise.ts";
import { Conflict } from "../../src/schedule/errors.ts";
import { forgotten } from "../support/agenda.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";
import type { TestService } from "../support/service.ts";

/*
 * Random sequences of everything that can happen to runs, on one real database, by two instances, some of it at the same
 * time. Whatever the order: only legal transitions, never two runs in one place, counters that agree with the rows, and
 * in the end nothing that cannot end.
 */

let life: Life;
let sibling: TestService;
beforeAll(async () => {
  life = await startLife();
  sibling = await life.service.sibling("test-2");
  // Every change of a run's status is written down by the database itself.
  await life.service.rows("CREATE TABLE moves (id bigserial, run_id uuid, was text, becomes text, attempts int)");
  await life.service.rows(`
    CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO moves (run_id, was, becomes, attempts) VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt - OLD.attempt);
      RETURN NULL;
    END $$`);
  await life.service.rows(`
    CREATE TRIGGER moves AFTER UPDATE OF status, attempt ON runs FOR EACH ROW
    WHEN (OLD.status <> NEW.status OR OLD.attempt <> NEW.attempt) EXECUTE FUNCTION note_move()`);
});
afterAll(() => life.stop());

type Op =
  | { readonly kind: "time"; readonly seconds: number }
  | { readonly kind: "fire" | "expand" | "supervise" | "hear" }
  | { readonly kind: "dispatch"; readonly outcomes: readonly Outcome[] }
  | { readonly kind: "trigger"; readonly schedule: number }
  | { readonly kind: "say"; readonly run: number; readonly status: string; readonly off: number }
  | { readonly kind: "cancel" | "revive" | "force"; readonly run: number }
  | { readonly kind: "cap"; readonly size: number | null }
  | { readonly kind: "drain"; readonly drained: boolean }
  | { readonly kind: "reset" };

const nth = fc.nat(60);
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("time" as const), seconds: fc.integer({ min: 1, max: 70 }) }) },
  { weight: 3, arbitrary: fc.constant({ kind: "fire" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "expand" as const }) },
  { weight: 4, arbitrary: fc.constant({ kind: "supervise" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "hear" as const }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("dispatch" as const),
      outcomes: fc.array(
        fc.constantFrom<Outcome>("confirmed", "confirmed", "confirmed", "unroutable", "unknown", "rejected", "refused"),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("trigger" as const), schedule: fc.nat(20) }) },
  {
    weight: 14,
    arbitrary: fc.record({
      kind: fc.constant("say" as const),
      run: nth,
      status: fc.constantFrom(
        "started",
        "progress",
        "heartbeat",
        "completed",
        "completed",
        "failed",
        "failed",
        "cancelled",
        "skipped",
      ),
      off: fc.constantFrom(0, 0, 0, 0, -1, 1),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("cancel" as const, "revive" as const, "force" as const), run: nth }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cap" as const), size: fc.constantFrom(null, 0, 1, 3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drain" as const), drained: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reset" as const }) },
);
/** One thing, or two at the same moment on two instances. */
const step = fc.oneof({ weight: 3, arbitrary: fc.tuple(op) }, { weight: 2, arbitrary: fc.tuple(op, op) });

const POLICY = {
  max_attempts: 2,
  retry_backoff_seconds: 10,
  timeout_seconds: 90,
  heartbeat_seconds: 40,
  start_deadline_seconds: 120,
};
let schedules: string[];
let now: number;

async function begin() {
  outlooks.clear();
  await life.reset();
  await life.service.rows("TRUNCATE moves");
  // Some things are broken from the beginning, so that holds and probes happen in short histories as well.
  await life.service.rows(
    `INSERT INTO breakers (key, action, state, failures, threshold, cooldown_seconds, opened_at)
     VALUES ('test.host:h', 'test.host', 'open', 3, 3, 60, $1), ('test.node:x', 'test.node', 'open', 2, 2, 60, $1)`,
    [new Date(NOON).toISOString()],
  );
  setNow(NOON);
  const minutely = { kind: "cron", cron_expression: "* * * * *" };
  schedules = [];
  for (const overlap of ["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"]) {
    schedules.push(await life.schedule({ ...POLICY, ...minutely, overlap, catchup: "all" }));
  }
  const [first, second] = schedules as [string, string];
  schedules.push(
    await life.schedule({ ...POLICY, overlap: "buffer_all", targets: ["a", "b", "c"] }),
    await life.schedule({ ...POLICY, action: "test.node", overlap: "skip", targets: ["x", "y"] }),
    await life.schedule({ ...POLICY, action: "test.host", overlap: "buffer_one", payload: { url: "http://h/" } }),
    await life.schedule({ ...POLICY, action: "test.host", payload: { url: "http://h/" } }),
    await life.schedule({ ...POLICY, action: "test.capped", pause_after_failures: 3 }),
    await life.schedule({ ...POLICY, ...minutely, overlap: "buffer_all", depends_on: [first] }),
    await life.schedule({ ...POLICY, kind: "event", overlap: "skip", depends_on: [first, second] }),
  );
}

function setNow(instant: number) {
  now = instant;
  life.service.setNow(instant);
  sibling.setNow(instant);
}

/** Looks an hour ahead, so that much can happen between what is foreseen and its instant. */
const outlooks = new Map<string, Outlook>();
function outlookOf({ instance }: Deps): Outlook {
  const outlook = outlooks.get(instance) ?? new Outlook({ horizon_ms: 3_600_000 });
  outlooks.set(instance, outlook);
  return outlook;
}

function answering(deps: Deps, outcomes: readonly Outcome[]): Deps {
  const publish = async (messages: readonly unknown[]) =>
    messages.map((_, index) => outcomes[index % outcomes.length]!);
  return { ...deps, publisher: { ready: true, onChange: deps.publisher.onChange, publish } };
}

const CONFIRMED: readonly Outcome[] = ["confirmed"];
const report = (deps: Deps) => ({ id: deps.instance, version: "t", broker: "ready", passes: {} });
const hear = () =>
  life.service.rows(
    `INSERT INTO settings (key, value) VALUES ('listening', jsonb_build_object('since', 0, 'until', $1::bigint))
     ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    [now],
  );

async function act(real: Deps, runs: readonly RunRow[], each: Op): Promise<void> {
  const deps = answering(real, CONFIRMED);
  const run = "run" in each ? runs[each.run % Math.max(1, runs.length)] : undefined;
  if ("run" in each && run === undefined) return;
  switch (each.kind) {
    case "time":
      return setNow(now + each.seconds * 1_000);
    case "fire":
      return (await fireOnTime(deps, outlookOf(real), 5)).published;
    case "expand":
      return void (await expand(deps, 2));
    case "supervise":
      return void (await supervise(deps, report(deps)));
    case "hear":
      return void (await hear());
    case "dispatch":
      return (await dispatch(answering(real, each.outcomes), 4)).published;
    case "trigger": {
      const id = schedules[each.schedule % schedules.length]!;
      const trigger = { trigger_type: "manual", triggered_by: "model" } as const;
      return void (await real.database.transaction((tx) => insertScheduleRun(tx, id, trigger)));
    }
    case "say":
      return void (await ingest(deps, [
        delivery({ id: run!.id, attempt: Math.max(1, run!.attempt + each.off) }, each.status, {
          progress: (each.run * 7) % 100,
        }),
      ]));
    case "cancel":
      return void (await real.database.transaction((tx) => requestCancel(tx, [run!.id], "requested")));
    case "revive":
    case "force":
      return real.database
        .transaction((tx) => reviveRun(tx, run!.id, { force: each.kind === "force" }))
        .then(
          () => {},
          (error) => {
            if (!(error instanceof Conflict)) throw error;
          },
        );
    case "cap":
      return void (await real.database.transaction((tx) =>
        tx.query("UPDATE pools SET max_in_flight = $1 WHERE name = 'capped'", [each.size]),
      ));
    case "drain":
      return void (await real.database.transaction((tx) => setSetting(tx, "drained", each.drained)));
    case "reset":
      return void (await real.database.transaction((tx) => resetBreaker(tx, "test.host:h")));
  }
}

/** Statuses by status and, from an end, only by an explicit retry. `pending` to `waiting` is what a breaker does. */
const LEGAL = new Set([
  ...["waiting>pending", "waiting>cancelled", "waiting>skipped"],
  ...["pending>dispatched", "pending>running", "pending>waiting", "pending>pending", "dispatched>waiting"],
  ...["dispatched>running", "dispatched>pending", "running>pending"],
  ...["pending", "dispatched", "running"].flatMap((was) =>
    ["completed", "failed", "cancelled", "skipped"].map((end) => `${was}>${end}`),
  ),
  ...["completed", "failed", "cancelled", "skipped"].flatMap((end) => [
    `${end}>pending`,
    `${end}>waiting`,
    `${end}>running`,
  ]),
]);

async function check(): Promise<void> {
  const moves = await life.service.rows<{ was: string; becomes: string; attempts: number; parent: boolean }>(
    `SELECT DISTINCT was, becomes, attempts, r.child_total IS NOT NULL AS parent FROM moves m JOIN runs r ON r.id = m.run_id`,
  );
  const ends = ["completed", "failed", "cancelled", "skipped"];
  for (const { was, becomes, attempts, parent } of moves) {
    const move = `${was}>${becomes}${parent ? " (parent)" : ""}`;
    expect(LEGAL.has(`${was}>${becomes}`), move).toBe(true);
    expect([0, 1], `${move} by ${attempts} attempts`).toContain(attempts);
    // Another attempt, and nothing else, leads out of an end; a parent runs again because a child does.
    if (ends.includes(was)) expect(attempts === 1 || (parent && becomes === "running"), move).toBe(true);
  }
  const wrong = await life.service.rows(`
    SELECT r.id, r.status, r.status_reason, r.attempt FROM runs r WHERE
      (r.status IN ('completed', 'failed', 'cancelled', 'skipped')) <> (r.completed_at IS NOT NULL)
      OR (r.completed_at IS NOT NULL AND r.deadline_at IS NOT NULL)
      OR (r.completed_at IS NULL AND r.deadline_at IS NULL AND NOT (r.child_total IS NOT NULL AND r.status = 'running'))
      OR (r.status = 'waiting') <> (coalesce(r.status_reason, '') IN ('buffered', 'blocked', 'breaker_open'))
      OR (r.status = 'running' AND (r.started_at IS NULL OR r.status_reason IS NOT NULL))
      OR (r.status = 'dispatched' AND (r.dispatched_at IS NULL OR r.child_total IS NOT NULL))
      OR (r.status = 'pending' AND r.started_at IS NOT NULL)
      OR r.attempt <> 1 + (SELECT count(*) FROM run_attempts a WHERE a.run_id = r.id)
      OR (r.status_reason = 'breaker_open' AND r.breaker_key IS NULL)`);
  expect(wrong, "runs whose columns contradict each other").toEqual([]);
  const counters = await life.service.rows(`
    SELECT p.id FROM runs p LEFT JOIN LATERAL (
      SELECT count(*) AS made, count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE status = 'skipped') AS skipped, coalesce(sum(progress), 0) AS progress
      FROM runs c WHERE c.parent_run_id = p.id) AS c ON true
    WHERE p.child_total IS NOT NULL AND (
      p.child_expanded <> c.made OR coalesce(p.child_completed, 0) <> c.completed OR coalesce(p.child_failed, 0) <> c.failed
      OR coalesce(p.child_cancelled, 0) <> c.cancelled OR coalesce(p.child_skipped, 0) <> c.skipped
      OR abs(coalesce(p.child_progress, 0) - c.progress) > 0.01
      OR (p.completed_at IS NOT NULL AND c.made > 0 AND c.completed + c.failed + c.cancelled + c.skipped < p.child_total)
      OR (p.status = 'running' AND p.child_total = c.completed + c.failed + c.cancelled + c.skipped))`);
  expect(counters, "parents whose counters are not their children's").toEqual([]);
  const guard = await life.service.rows(`
    SELECT schedule_id FROM runs WHERE exclusive AND parent_run_id IS NULL AND status IN ('pending', 'dispatched', 'running')
    GROUP BY schedule_id HAVING count(*) > 1`);
  expect(guard, "two runs in one place").toEqual([]);
  expect(await forgotten(life.service), "schedules that the agenda does not know").toEqual([]);
}

/** Everybody does their work from now on: consumers answer, the broker takes what it is given, nothing is held back. */
async function windDown(): Promise<void> {
  await life.service.rows("UPDATE schedules SET enabled = false, next_run_at = NULL, needs_planning = false");
  await life.service.rows("UPDATE pools SET max_in_flight = NULL, drained = false");
  await life.service.rows("UPDATE settings SET value = 'false' WHERE key = 'drained'");
  const deps = answering(life.deps, CONFIRMED);
  for (let round = 0; round < 60; round += 1) {
    await supervise(deps, report(deps));
    while ((await expand(deps)).full);
    await (await dispatch(deps)).published;
    const open = await life.runs("completed_at IS NULL");
    if (open.length === 0) return;
    const busy = open.filter(
      ({ status, child_total }) => child_total === null && ["dispatched", "running"].includes(status),
    );
    await ingest(
      deps,
      busy.map((run) => delivery(run, "completed")),
    );
    setNow(now + 20_000);
    await hear();
  }
  const stuck = await life.runs("completed_at IS NULL");
  expect(stuck.map(({ status, status_reason, child_total }) => ({ status, status_reason, child_total }))).toEqual([]);
}

test("random histories stay legal and come to an end", { timeout: 90_000 }, async () => {
  let histories = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 70 }), async (steps) => {
      await begin();
      for (const ops of steps) {
        const runs = await life.runs();
        const instances = [life.deps, sibling.deps] as const;
        const done = await Promise.allSettled(ops.map((each, index) => act(instances[index]!, runs, each)));
        for (const result of done) if (result.status === "rejected") throw result.reason;
        await check();
      }
      await windDown();
      await check();
      expect(await life.service.rows("SELECT * FROM leases WHERE lease_until < pocketwatch_now()")).toEqual([]);
      histories += 1;
    }),
    { numRuns: 25, interruptAfterTimeLimit: 12_000, endOnFailure: process.env.MODEL_SHRINK === undefined },
  );
  expect(histories).toBeGreaterThan(0);
  // Whoever locks in another order than everybody else is found out sooner or later.
  const [{ deadlocks } = { deadlocks: -1 }] = await life.service.rows<{ deadlocks: number }>(
    "SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()",
  );
  expect(deadlocks).toBe(0);
});
