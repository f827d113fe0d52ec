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
      `INSERT INTO schedules (name, kind, action, needs_planning)
       SELECT 'many ' || lpad(n::text, 6, '0'), 'manual', CASE WHEN n % 7000 = 1 THEN 'rare' ELSE 'x' END, false
       FROM generate_series(1, ${ROWS}) AS n`,
    );
    await service.rows("ALTER TABLE schedules ENABLE TRIGGER USER");
    const { items, asked } = await pages("/v1/schedules?action=rare&limit=2");
    expect(items.map(({ name }) => name)).toEqual(["many 000001", "many 007001", "many 014001"]);
    expect(asked).toBe(3);
    expect((await pages("/v1/schedules?text=000001&limit=2")).items.map(({ name }) => name)).toEqual(["many 000001"]);
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
