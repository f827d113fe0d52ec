import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
beforeAll(async () => {
  service = await startHttpService();
});
afterAll(() => service.stop());

const create = (name: string, more = {}) => service.ask("POST", "/v1/schedules", scout(name, more));
const fieldsOf = (body: { errors: { field: string }[] }) => body.errors.map((error) => error.field);

describe("creating", () => {
  test("answers 201 with the whole schedule, gaps filled", async () => {
    const created = await create("Daily StratNinja Scout", { timing: { kind: "cron", expression: "0 0 * * *" } });
    expect(created.status).toBe(201);
    expect(created.headers.location).toBe(`/v1/schedules/${created.body.id}`);
    expect(created.headers.etag).toBe('"1"');
    expect(created.body).toMatchObject({
      name: "Daily StratNinja Scout",
      enabled: true,
      description: null,
      labels: {},
      action: "scout.trigger",
      action_version: 1,
      targets: null,
      payload: { source: "stratninja", max_strategies: 5 },
      timing: { kind: "cron", expression: "0 0 * * *", timezone: "UTC" },
      triggers: { webhook: null, channel: null },
      overlap: "skip",
      catchup: { policy: "latest", window_seconds: 86_400 },
      retry: { max_attempts: 3, backoff_seconds: 30, multiplier: 2, max_backoff_seconds: 3_600 },
      timeout_seconds: 7_200,
      priority: "normal",
      depends_on: [],
      max_runs: null,
      pause_after_failures: null,
      notify_on: ["failed"],
      state: "active",
      paused_until: null,
      last_run_at: null,
      last_run_id: null,
      last_run_status: null,
      run_count: 0,
      problem: null,
      revision: 1,
    });
    expect(created.body.timing).toEqual({ kind: "cron", expression: "0 0 * * *", timezone: "UTC" });
    expect(created.body.next_run_at).toMatch(/^\d{4}-\d\d-\d\dT00:00:00\.000Z$/);
    expect(service.woken).toContain("fire");
  });

  test("what the action has no default for and the schedule says is what counts", async () => {
    const created = await create("says", {
      priority: "high",
      overlap: "buffer_all",
      retry: { max_attempts: 1 },
      heartbeat_seconds: 0,
      pool: "default",
      labels: { team: "ops" },
    });
    expect(created.body).toMatchObject({
      priority: "high",
      overlap: "buffer_all",
      retry: { max_attempts: 1, backoff_seconds: 30 },
      heartbeat_seconds: null,
      pool: "default",
      labels: { team: "ops" },
    });
  });

  test.each([
    [
      { kind: "interval", every_seconds: 3_600 },
      { kind: "interval", every_seconds: 3_600 },
    ],
    [
      { kind: "interval", every_seconds: 60, anchor: "2026-01-01T00:00:30+01:00" },
      { kind: "interval", every_seconds: 60, anchor: "2025-12-31T23:00:30.000Z" },
    ],
    [
      { kind: "once", at: "2199-01-01T00:00:00Z" },
      { kind: "once", at: "2199-01-01T00:00:00.000Z" },
    ],
    [
      { kind: "calendar", times: ["22:00:00"], days_of_week: ["monday"], timezone: "Europe/Berlin", dst_fold: "both" },
      { kind: "calendar", times: ["22:00:00"], days_of_week: ["monday"], timezone: "Europe/Berlin", dst_fold: "both" },
    ],
    [{ kind: "event" }, { kind: "event" }],
    [{ kind: "manual" }, { kind: "manual" }],
    [
      { kind: "cron", expression: "@daily", starts_at: "2026-01-01T00:00:00Z", jitter_seconds: 5 },
      {
        kind: "cron",
        expression: "@daily",
        timezone: "UTC",
        starts_at: "2026-01-01T00:00:00.000Z",
        jitter_seconds: 5,
      },
    ],
  ])("takes timing %j", async (timing, shown) => {
    const created = await create(`timing ${JSON.stringify(timing)}`, { timing });
    expect(created.status, JSON.stringify(created.body)).toBe(201);
    expect(created.body.timing).toEqual(shown);
    // What is answered can be written again.
    const again = await service.ask("PATCH", `/v1/schedules/${created.body.id}`, { timing: shown });
    expect(again.status, JSON.stringify(again.body)).toBe(200);
    expect(again.body.revision).toBe(1);
  });

  test("a local time of day becomes the next instant that has it", async () => {
    service.setNow("2026-07-01T12:00:00Z");
    try {
      const timing = { kind: "once", time: "14:30:00", timezone: "Europe/Berlin" };
      const today = await create("today", { timing });
      expect(today.body.timing).toEqual({ kind: "once", at: "2026-07-01T12:30:00.000Z" });
      const tomorrow = await create("tomorrow", { timing: { ...timing, time: "13:30" } });
      expect(tomorrow.body.next_run_at).toBe("2026-07-02T11:30:00.000Z");
    } finally {
      service.setNow(null);
    }
  });

  test.each([
    ["an unknown field", { colour: "red" }, ["colour"]],
    ["an unknown field of the timing", { timing: { kind: "cron", expression: "@daily", every: 5 } }, ["timing.every"]],
    [
      "a field of another kind",
      { timing: { kind: "cron", expression: "@daily", at: "2199-01-01T00:00:00Z" } },
      ["timing.at"],
    ],
    ["no expression", { timing: { kind: "cron" } }, ["timing.expression"]],
    ["an impossible expression", { timing: { kind: "cron", expression: "0 0 30 2 *" } }, ["timing.expression"]],
    ["no interval", { timing: { kind: "interval" } }, ["timing.every_seconds"]],
    ["an interval of 0", { timing: { kind: "interval", every_seconds: 0 } }, ["timing.every_seconds"]],
    ["an unknown kind", { timing: { kind: "fortnightly" } }, ["timing.kind"]],
    ["no kind", { timing: {} }, ["timing.kind"]],
    ["no timing", { timing: undefined }, ["timing"]],
    ["an unknown zone", { timing: { kind: "cron", expression: "@daily", timezone: "Mars/Base" } }, ["timing.timezone"]],
    ["an instant without offset", { timing: { kind: "once", at: "2199-01-01T00:00:00" } }, ["timing.at"]],
    ["an instant in the past", { timing: { kind: "once", at: "2020-01-01T00:00:00Z" } }, ["timing.at"]],
    ["calendar without times", { timing: { kind: "calendar", days_of_week: ["monday"] } }, ["timing.times"]],
    [
      "both kinds of days",
      { timing: { kind: "calendar", times: ["1:00"], days_of_week: ["x"] } },
      ["timing.times", "timing.days_of_week"],
    ],
    ["an unknown action", { action: "no.such" }, ["action"]],
    ["an unknown version", { action_version: 99 }, ["action_version"]],
    ["a broken payload", { payload: { source: "stratninja", max_strategies: "many" } }, ["payload.max_strategies"]],
    ["an unknown pool", { pool: "no such" }, ["pool"]],
    ["an unknown dependency", { depends_on: ["no such"] }, ["depends_on.0"]],
    ["an unknown dependency id", { depends_on: ["0199e1aa-0000-7000-8000-000000000001"] }, ["depends_on"]],
    ["equal targets", { targets: ["a", "a"] }, ["targets.1"]],
    ["too many targets", { targets: Array.from({ length: 10_001 }, (_, index) => `t${index}`) }, ["targets"]],
    ["an empty name", { name: "" }, ["name"]],
    ["a name that is a step in a path", { name: ".." }, ["name"]],
    ["a name like an id", { name: "0199e1aa-0000-7000-8000-000000000001" }, ["name"]],
    ["a character Postgres has not", { name: "a\u0000b" }, ["name"]],
    ["half a character", { description: "\ud800" }, ["description"]],
    ["a huge number", { max_runs: 1e300 }, ["max_runs"]],
    ["a wrong priority", { priority: 1 }, ["priority"]],
    [
      "several at once",
      { pool: 5, enabled: "yes", retry: { max_attempts: 0 } },
      ["enabled", "pool", "retry.max_attempts"],
    ],
    ["a wrong webhook", { triggers: { webhook: "a b" } }, ["triggers.webhook"]],
  ])("refuses %s and names the field", async (_, more, fields) => {
    const refused = await create("never stored", more);
    expect(refused.status, JSON.stringify(refused.body)).toBe(422);
    expect(refused.headers["content-type"]).toContain("application/problem+json");
    expect(fieldsOf(refused.body).sort()).toEqual([...fields].sort());
    expect(refused.body.errors.every((error: { message: string }) => error.message.length > 3)).toBe(true);
    expect((await service.ask("GET", "/v1/schedules/never%20stored")).status).toBe(404);
  });

  test("a duplicate name is a conflict", async () => {
    await create("twice");
    const second = await create("twice");
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({ status: 409, state: { name: "twice" } });
  });

  test("a batch is all or nothing, and may depend on what comes before in it", async () => {
    const bad = { schedules: [scout("batch 1"), scout("batch 2", { action: "no.such" })] };
    const refused = await service.ask("POST", "/v1/schedules/batch", bad);
    expect(refused.status).toBe(422);
    expect(fieldsOf(refused.body)).toEqual(["schedules.1.action"]);
    expect((await service.ask("GET", "/v1/schedules/batch%201")).status).toBe(404);

    const good = { schedules: [scout("batch 1"), scout("batch 2", { depends_on: ["batch 1"] })] };
    const created = await service.ask("POST", "/v1/schedules/batch", good);
    expect(created.status).toBe(201);
    expect(created.body.items[1].depends_on).toEqual([created.body.items[0].id]);

    const taken = await service.ask("POST", "/v1/schedules/batch", { schedules: [scout("batch 3"), scout("batch 1")] });
    expect(taken.status).toBe(409);
    expect(taken.body.state).toEqual({ name: "batch 1", index: 1 });
  });
});

describe("finding", () => {
  test.each(["a/b", "100 %", "%41", "ein Ürümqi 🎉", "a?b#c", "...", "semi;colon", "+ plus", '"quoted"', "new\nline"])(
    "a schedule named %j is found by name",
    async (name) => {
      const created = await create(name);
      expect(created.status).toBe(201);
      const found = await service.ask("GET", `/v1/schedules/${encodeURIComponent(name)}`);
      expect(found.status).toBe(200);
      expect(found.body.id).toBe(created.body.id);
    },
  );

  test("a name of 255 of the longest characters is found by name", async () => {
    const name = "🎉".repeat(255);
    expect((await create(name)).status).toBe(201);
    expect((await service.ask("GET", `/v1/schedules/${encodeURIComponent(name)}`)).status).toBe(200);
    expect((await create(`${name}a`)).status).toBe(422);
  });

  test("what is not there is a 404 with problem details", async () => {
    for (const id of ["nope", "0199e1aa-0000-7000-8000-000000000001", "%00", "a%00b"]) {
      const found = await service.ask("GET", `/v1/schedules/${id}`);
      expect(found.status).toBe(404);
      expect(found.body.type).toMatch(/^https:/);
    }
  });

  test("lists by name, a page at a time, in a stable order", async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const path: string = `/v1/schedules?limit=7${cursor === null ? "" : `&cursor=${cursor}`}`;
      const { body } = await service.ask("GET", path);
      seen.push(...body.items.map((item: { name: string }) => item.name));
      cursor = body.next_cursor;
    } while (cursor !== null);
    const [{ count }] = (await service.rows<{ count: number }>("SELECT count(*) FROM schedules")) as [
      { count: number },
    ];
    expect(seen).toHaveLength(count);
    expect(new Set(seen).size).toBe(count);
  });

  test("filters", async () => {
    await create("find me", {
      labels: { team: "search", tier: "1" },
      priority: "low",
      pool: "default",
      description: "50% of _everything_",
    });
    await create("find me too", { labels: { team: "search" }, enabled: false, timing: { kind: "manual" } });
    const names = async (query: string) => {
      const { status, body } = await service.ask("GET", `/v1/schedules?limit=500&${query}`);
      expect(status, JSON.stringify(body)).toBe(200);
      return body.items.map((item: { name: string }) => item.name);
    };
    expect(await names("label=team=search")).toEqual(["find me", "find me too"]);
    expect(await names("label=team=search&label=tier")).toEqual(["find me"]);
    expect(await names("label=team%3Dsearch&state=disabled")).toEqual(["find me too"]);
    expect(await names("label=team=search&kind=manual,cron&priority=low")).toEqual(["find me"]);
    expect(await names("text=find+ME&pool=default")).toEqual(["find me"]);
    expect(await names("text=50%25%20of%20_")).toEqual(["find me"]);
    expect(await names("text=50_%25")).toEqual([]);
    expect(await names("action=no.such")).toEqual([]);
  });

  test.each([
    "limit=0",
    "limit=501",
    "limit=x",
    "limit=1e2",
    "cursor=%00",
    "cursor=!!",
    "colour=red",
    "state=odd",
    "kind=",
  ])("refuses ?%s", async (query) => {
    const refused = await service.ask("GET", `/v1/schedules?${query}`);
    expect(refused.status).toBe(422);
    expect(refused.body.errors[0].field).toMatch(new RegExp(`^${query.split("=")[0]}`));
  });
});

describe("changing", () => {
  test("PATCH merges, and null is the default again", async () => {
    const { body } = await create("patched", { retry: { max_attempts: 5, multiplier: 3 }, labels: { a: "1" } });
    const path = `/v1/schedules/${body.id}`;
    const changed = await service.ask("PATCH", path, {
      retry: { multiplier: null },
      timing: { timezone: "Europe/Berlin" },
      labels: { b: "2" },
      description: "later",
    });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({
      retry: { max_attempts: 5, multiplier: 2 },
      timing: { kind: "cron", expression: "0 * * * *", timezone: "Europe/Berlin" },
      labels: { b: "2" },
      description: "later",
      revision: 2,
    });
    const cleared = await service.ask("PATCH", path, { retry: null, description: null });
    expect(cleared.body).toMatchObject({ retry: { max_attempts: 3 }, description: null, revision: 3 });
  });

  test("a timing of another kind replaces the old one; fields of another kind are refused", async () => {
    const { body } = await create("retimed", {
      timing: { kind: "cron", expression: "0 3 * * *", timezone: "Europe/Berlin", jitter_seconds: 9 },
    });
    const path = `/v1/schedules/${body.id}`;
    const refused = await service.ask("PATCH", path, { timing: { every_seconds: 60 } });
    expect(fieldsOf(refused.body)).toEqual(["timing.every_seconds"]);
    const changed = await service.ask("PATCH", path, { timing: { kind: "interval", every_seconds: 60 } });
    expect(changed.body.timing).toEqual({ kind: "interval", every_seconds: 60 });
    const [row] = await service.rows("SELECT cron_expression, timezone, jitter_seconds FROM schedules WHERE id = $1", [
      body.id,
    ]);
    expect(row).toEqual({ cron_expression: null, timezone: "UTC", jitter_seconds: 0 });
  });

  test("parts of a calendar are merged into it", async () => {
    const { body } = await create("calendar", {
      timing: { kind: "calendar", times: ["08:00:00"], days_of_week: ["monday"], end_day: "2199-01-01" },
    });
    const changed = await service.ask("PATCH", `/v1/schedules/${body.id}`, {
      timing: { days_of_week: null, days_of_month: [1, -1] },
    });
    expect(changed.status, JSON.stringify(changed.body)).toBe(200);
    expect(changed.body.timing).toEqual({
      kind: "calendar",
      times: ["08:00:00"],
      days_of_month: [1, -1],
      end_day: "2199-01-01",
      timezone: "UTC",
    });
  });

  test("an edit that is refused changes nothing", async () => {
    const { body } = await create("unharmed");
    const refused = await service.ask("PATCH", `/v1/schedules/${body.id}`, { description: "x", payload: {} });
    expect(refused.status).toBe(422);
    expect((await service.ask("GET", `/v1/schedules/${body.id}`)).body).toEqual(body);
  });

  test("saying what is there already is no edit", async () => {
    const { body } = await create("same", { labels: { a: "1" } });
    const same = await service.ask("PATCH", `/v1/schedules/${body.id}`, { labels: { a: "1" }, timing: body.timing });
    expect(same.body).toEqual(body);
  });

  test("renaming to a name that is taken is a conflict", async () => {
    await create("taken");
    const { body } = await create("renamed");
    expect((await service.ask("PATCH", `/v1/schedules/${body.id}`, { name: "taken" })).status).toBe(409);
    const renamed = await service.ask("PATCH", `/v1/schedules/renamed`, { name: "free" });
    expect(renamed.body).toMatchObject({ name: "free", id: body.id });
  });

  test("If-Match refuses a change based on an old revision", async () => {
    const { body } = await create("matched");
    const path = `/v1/schedules/${body.id}`;
    const first = await service.ask("PATCH", path, { description: "1" }, { "if-match": '"1"' });
    expect(first.headers.etag).toBe('"2"');
    const stale = await service.ask("PATCH", path, { description: "2" }, { "if-match": '"1"' });
    expect(stale.status).toBe(412);
    expect(stale.body.revision).toBe(2);
    expect((await service.ask("DELETE", path, undefined, { "if-match": '"1"' })).status).toBe(412);
    expect((await service.ask("PATCH", path, { description: "2" }, { "if-match": "nonsense" })).status).toBe(422);
    expect((await service.ask("PATCH", path, { description: "3" }, { "if-match": 'W/"2"' })).status).toBe(200);
  });

  test("PUT creates under the name, then replaces what it does not say with the defaults", async () => {
    const { name: _, ...body } = scout("put", { description: "first", priority: "high" });
    const created = await service.ask("PUT", "/v1/schedules/put", body);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ name: "put", description: "first", priority: "high" });
    await service.ask("POST", "/v1/schedules/put/pause", { note: "stays" });
    const { name: __, ...other } = scout("put", { labels: { a: "1" } });
    const replaced = await service.ask("PUT", "/v1/schedules/put", other);
    expect(replaced.status).toBe(200);
    expect(replaced.body).toMatchObject({
      id: created.body.id,
      description: null,
      priority: "normal",
      labels: { a: "1" },
      pause_note: "stays",
    });
    const unknown = await service.ask("PUT", "/v1/schedules/0199e1aa-0000-7000-8000-000000000001", body);
    expect(unknown.status).toBe(404);
    expect((await service.ask("PUT", "/v1/schedules/other", { ...body, name: "another" })).status).toBe(422);
  });

  test("PUT with If-None-Match: * creates, and changes nothing that is there", async () => {
    const { name: _, ...body } = scout("only once");
    const put = (headers: Record<string, string>, description?: string) =>
      service.ask("PUT", "/v1/schedules/only%20once", { ...body, description }, headers);
    const created = await put({ "if-none-match": "*" });
    expect([created.status, created.headers.etag]).toEqual([201, '"1"']);
    const refused = await put({ "if-none-match": "*" }, "another");
    expect(refused.body).toMatchObject({ status: 412, detail: "it is there already, with revision 1", revision: 1 });
    expect((await service.ask("GET", "/v1/schedules/only%20once")).body).toEqual(created.body);
    // What it is not said for: that one state is not there, and a state that is and is not there.
    expect((await put({ "if-none-match": '"1"' })).status).toBe(422);
    expect((await put({ "if-none-match": "*", "if-match": '"1"' })).status).toBe(422);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => service.ask("PUT", "/v1/schedules/raced%20for", body, { "if-none-match": "*" })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(9).fill(412)]);
  });

  test("many PUTs of a new name at once make one schedule", async () => {
    const { name: _, ...body } = scout("race");
    const answers = await Promise.all(Array.from({ length: 20 }, () => service.ask("PUT", "/v1/schedules/race", body)));
    expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(19);
  });

  test("the audit names who asked", async () => {
    const { body } = await create("audited");
    await service.ask("PATCH", `/v1/schedules/${body.id}`, { description: "x" });
    await service.rows("UPDATE schedules SET description = 'y' WHERE id = $1", [body.id]);
    const rows = await service.rows("SELECT who, operation FROM audit WHERE subject IN ($1, 'audited') ORDER BY id", [
      body.id,
    ]);
    expect(rows.map((row) => row.who)).toEqual(["anonymous", "anonymous", expect.stringMatching(/^role:/)]);
  });

  test("a schedule that SQL broke can be disabled, and mended", async () => {
    const { body } = await create("broken");
    await service.rows("UPDATE schedules SET action = 'gone.away' WHERE id = $1", [body.id]);
    const path = `/v1/schedules/${body.id}`;
    const { plan } = await import("../../src/passes/plan.ts");
    await plan(service.deps);
    expect((await service.ask("GET", path)).body).toMatchObject({ state: "problem", next_run_at: null });
    const disabled = await service.ask("PATCH", path, { enabled: false });
    expect(disabled.status, JSON.stringify(disabled.body)).toBe(200);
    const mended = await service.ask("PATCH", path, { action: "scout.trigger", enabled: true });
    expect(mended.body).toMatchObject({ state: "active", problem: null });
  });
});

describe("deleting", () => {
  test("keeps history and flags what has not started to be cancelled", async () => {
    const { body } = await create("deleted");
    const { body: run } = await service.ask("POST", `/v1/schedules/${body.id}/trigger`);
    expect((await service.ask("DELETE", `/v1/schedules/${body.id}`)).status).toBe(204);
    expect((await service.ask("DELETE", `/v1/schedules/${body.id}`)).status).toBe(404);
    const kept = await service.ask("GET", `/v1/runs/${run.id}`);
    expect(kept.body).toMatchObject({ schedule_name: "deleted", cancel_reason: "deleted" });
    expect(service.woken).toContain("supervise");
  });

  test("is refused while others depend on it", async () => {
    const { body } = await create("needed");
    await create("needy", { depends_on: ["needed"] });
    const refused = await service.ask("DELETE", `/v1/schedules/${body.id}`);
    expect(refused.status).toBe(409);
    expect(refused.body.state).toEqual({ dependents: ["needy"] });
    const cycle = await service.ask("PATCH", "/v1/schedules/needed", { depends_on: ["needy"] });
    expect(fieldsOf(cycle.body)).toEqual(["depends_on"]);
  });

  test("two edits at once cannot close a cycle", async () => {
    await create("north");
    await create("south");
    const answers = await Promise.all([
      service.ask("PATCH", "/v1/schedules/north", { depends_on: ["south"] }),
      service.ask("PATCH", "/v1/schedules/south", { depends_on: ["north"] }),
    ]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 422]);
  });
});
