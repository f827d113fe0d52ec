import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MOST_LOOKED_AT } from "../../src/database/found.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
beforeAll(async () => {
  service = await startHttpService();
});
afterAll(() => service.stop());

// biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
async function pages(path: string): Promise<{ items: any[]; asked: number }> {
  const items = [];
  for (let [cursor, asked] = ["", 1]; ; asked += 1) {
    const { status, body } = await service.ask("GET", `${path}${cursor}`);
    expect(status, JSON.stringify(body)).toBe(200);
    items.push(...body.items);
    if (body.next_cursor === null) return { items, asked };
    cursor = `&cursor=${body.next_cursor}`;
  }
}

test("runs of every status are found, parents and those being cancelled as well, newest first", async () => {
  await service.rows(
    `INSERT INTO runs (id, action, action_version, trigger_type, scheduled_for, status, child_total, cancel_requested_at,
       parent_run_id, priority)
     SELECT pocketwatch_uuid_v7(), 'x', 1, 'manual', now(),
       (ARRAY['waiting', 'pending', 'dispatched', 'running', 'completed', 'failed', 'cancelled', 'skipped'])[1 + n % 8],
       CASE WHEN n % 3 = 0 THEN 2 END, CASE WHEN n % 5 = 0 THEN now() END,
       CASE WHEN n % 7 = 0 THEN gen_random_uuid() END, 1 + n % 2
     FROM generate_series(1, 400) AS n`,
  );
  const rows = await service.rows<{ id: string; status: string; parent_run_id: string | null; priority: number }>(
    "SELECT id, status, parent_run_id, priority FROM runs ORDER BY id DESC",
  );
  const statuses = ["waiting", "pending", "dispatched", "running", "completed", "failed", "cancelled", "skipped"];
  for (const wanted of [...statuses, "failed,running", statuses.slice(0, 4).join(","), "failed,completed"]) {
    for (const children of [true, false]) {
      const { items } = await pages(`/v1/runs?status=${wanted}&children=${children}&priority=high&limit=7`);
      const expected = rows.filter(
        (row) =>
          wanted.split(",").includes(row.status) && (children || row.parent_run_id === null) && row.priority === 1,
      );
      expect(items.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
    }
  }
});

describe("a filter that lets through little", () => {
  const ROWS = 2 * MOST_LOOKED_AT + 500;

  test("finds all of it among many runs, page by page, while others are inserted", async () => {
    await service.rows(
      `INSERT INTO runs (id, action, action_version, trigger_type, scheduled_for, status, pool)
       SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || substr(md5(n::text), 1, 20))::uuid, 'x', 1, 'scheduled', now(),
         'completed', CASE WHEN n % 7000 = 1 THEN 'rare' ELSE 'default' END
       FROM generate_series(1, ${ROWS}) AS n`,
    );
    const expected = await service.rows<{ id: string }>("SELECT id FROM runs WHERE pool = 'rare' ORDER BY id DESC");
    const { items, asked } = await pages("/v1/runs?pool=rare&limit=2");
    expect(items.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
    expect(asked).toBeGreaterThan(2);
    expect((await pages("/v1/runs?pool=none")).items).toEqual([]);
    const first = await service.ask("GET", "/v1/runs?pool=none");
    expect(first.body).toEqual({ items: [], next_cursor: expect.any(String) });
    const span = "from=2023-11-14T22:13:20Z&to=2023-11-14T22:13:21Z";
    expect((await pages(`/v1/runs?pool=none&${span}`)).asked).toBe(1);
    expect((await pages(`/v1/runs?limit=500&${span}`)).items).toHaveLength(999);
  });

  test("and among many schedules", async () => {
    await service.rows("ALTER TABLE schedules DISABLE TRIGGER USER");
    await service.rows(
      `INSERT INTO schedules (name, kind, action, needs_planning, labels)
       SELECT 'many ' || lpad(n::text, 6, '0'), 'manual', CASE WHEN n % 4000 = 1 THEN 'rare' ELSE 'x' END, false,
         CASE WHEN n % 4000 = 2 THEN '{"team": "few"}'::jsonb WHEN n > 6000 THEN '{"team": "many"}' ELSE '{}' END
       FROM generate_series(1, ${ROWS}) AS n`,
    );
    await service.rows("ALTER TABLE schedules ENABLE TRIGGER USER");
    const found = async (query: string) => {
      const { items, asked } = await pages(`/v1/schedules?${query}`);
      return { names: items.map(({ name }) => name), asked };
    };
    const rare = ["many 000001", "many 004001", "many 008001"];
    expect(await found("action=rare&limit=2")).toEqual({ names: rare, asked: 3 });
    expect((await found("text=000001&limit=2")).names).toEqual(["many 000001"]);
    // By their label: a few of them, which are read at once; many, past which the list goes; none.
    const few = ["many 000002", "many 004002", "many 008002"];
    expect(await found("label=team=few&limit=2")).toEqual({ names: few, asked: 2 });
    expect(await found("label=team=few&text=000002&limit=2")).toEqual({ names: ["many 000002"], asked: 1 });
    expect(await found("label=team=none")).toEqual({ names: [], asked: 1 });
    const many = await found("label=team=many&limit=500");
    const last = Array.from({ length: ROWS - 6_000 }, (_, index) => `many ${String(6_001 + index).padStart(6, "0")}`);
    expect(many.names).toEqual(last.filter((name) => name !== few[2]));
    expect((await found("label=team=many&action=rare&limit=2")).names).toEqual(["many 008001"]);
  });
});

describe("runs by the labels of their schedules", () => {
  const ROWS = 4 * MOST_LOOKED_AT;
  const LABELLED = `SELECT r.id FROM runs r JOIN schedules s ON s.id = r.schedule_id
    WHERE s.labels @> $1 AND (r.parent_run_id IS NULL OR $2) ORDER BY r.id DESC`;

  /** One busy schedule and quiet ones, nothing of which is among the newest runs; one that is gone. */
  beforeAll(async () => {
    await service.rows("DELETE FROM runs");
    await service.rows("ALTER TABLE schedules DISABLE TRIGGER USER");
    await service.rows(
      `INSERT INTO schedules (id, name, kind, action, needs_planning, labels)
       SELECT md5('s' || n)::uuid, 'labelled ' || n, 'manual', 'x', false, CASE
         WHEN n <= 4 THEN jsonb_build_object('size', 'few', 'n', n::text) ELSE '{"size": "many"}' END
       FROM generate_series(1, 400) AS n`,
    );
    await service.rows("ALTER TABLE schedules ENABLE TRIGGER USER");
    await service.rows(
      `INSERT INTO runs (id, schedule_id, action, action_version, trigger_type, scheduled_for, status, parent_run_id, target)
       SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || substr(md5(n::text), 1, 20))::uuid, md5('s' || s)::uuid,
         'x', 1, 'scheduled', now(), CASE WHEN n % 19 = 0 THEN 'failed' ELSE 'completed' END,
         CASE WHEN n % 7 = 0 THEN gen_random_uuid() END, CASE WHEN n % 500 = 1 THEN 'rare' END
       FROM (SELECT n, CASE WHEN n > $1 - 2000 THEN NULL WHEN n % 5 = 1 THEN 1 WHEN n % 997 = 3 THEN 2
           WHEN n % 101 = 5 THEN 4 WHEN n % 47 = 7 THEN 5 + n % 396 END AS s FROM generate_series(1, $1::int) AS n) AS r`,
      [ROWS],
    );
    await service.rows("DELETE FROM schedules WHERE name = 'labelled 4'");
  });

  test.each([["few"], ["many"], ["none"]])(
    "%s schedules have the label: all of their runs are found, in order, once",
    async (size) => {
      for (const children of [false, true]) {
        const expected = await service.rows<{ id: string }>(LABELLED, [{ size }, children]);
        expect(expected.length > 200).toBe(size !== "none");
        const { items } = await pages(`/v1/runs?label=size=${size}&children=${children}&limit=450`);
        expect(items.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
      }
    },
  );

  test("together with other filters, over pages that stop short", async () => {
    const found = async (query: string) => {
      const { items, asked } = await pages(`/v1/runs?label=size=few&children=true&${query}`);
      return { ids: items.map(({ id }) => id), asked };
    };
    const expected = async (condition: string) =>
      (
        await service.rows<{ id: string }>(LABELLED.replace("WHERE", `WHERE ${condition} AND`), [{ size: "few" }, true])
      ).map(({ id }) => id);
    const rare = await expected("r.target = 'rare'");
    expect(rare.length).toBeGreaterThan(30);
    const told = await found("target=rare&limit=30");
    expect(told.ids).toEqual(rare);
    expect(told.asked).toBeGreaterThan(Math.ceil(rare.length / 30));
    expect((await found("status=failed&limit=100")).ids).toEqual(await expected("r.status = 'failed'"));
    expect((await found("label=n=2&limit=9")).ids).toEqual(await expected('s.labels @> \'{"n": "2"}\''));
    expect((await found("schedule=labelled%201&limit=500")).ids).toEqual(await expected("s.name = 'labelled 1'"));
    const span = "from=2023-11-14T22:13:22Z&to=2023-11-14T22:13:25Z";
    const between = await expected(
      "r.id >= '018bcfe5-6fd0-0000-0000-000000000000' AND r.id < '018bcfe5-7b88-0000-0000-000000000000'",
    );
    expect(between.length).toBeGreaterThan(500);
    expect((await found(`${span}&limit=100`)).ids).toEqual(between);
  });
});

test("long numbers in a payload are copied as they are, into skipped runs and backfilled ones", async () => {
  const schedule = await service.ask("POST", "/v1/schedules", scout("long numbers"));
  await service.rows(
    `UPDATE schedules SET payload = '{"source": "stratninja", "max_strategies": 5.00000000000000000001}' WHERE id = $1`,
    [schedule.body.id],
  );
  expect((await service.ask("POST", "/v1/schedules/long%20numbers/skip-next")).status).toBe(201);
  const span = { from: "2025-01-01T00:00:00Z", to: "2025-01-01T01:00:00Z" };
  await service.ask("POST", "/v1/schedules/long%20numbers/backfill", span);
  const runs = await service.rows<{ n: string }>(
    "SELECT payload->>'max_strategies' AS n FROM runs WHERE schedule_id = $1",
    [schedule.body.id],
  );
  expect(runs.map(({ n }) => n)).toEqual(Array(3).fill("5.00000000000000000001"));
});
