import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect } from "../../src/database/connection.ts";
import { SCHEDULE_COLUMNS } from "../../src/database/schedule-columns.ts";
import { fire } from "../../src/passes/fire.ts";
import { plan } from "../../src/passes/plan.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

let service: TestService;
let user: string;
let editor: pg.Client;

beforeAll(async () => {
  service = await startTestService();
  user = new URL(service.url).username;
  editor = new pg.Client(service.url);
  await editor.connect();
});
afterAll(async () => {
  await editor.end();
  await service.stop();
});
beforeEach(async () => {
  service.setNow(null);
  await service.rows("DELETE FROM schedules");
  await service.rows("TRUNCATE runs, leases, outbox, requests, breakers, audit");
  await editor.query("RESET ALL");
});

interface Entry {
  readonly who: string;
  readonly operation: string;
  readonly table_name: string;
  readonly subject: string;
  readonly changes: Record<string, unknown>;
}
const entries = () => service.rows<Entry>("SELECT who, operation, table_name, subject, changes FROM audit ORDER BY id");

describe("the audit", () => {
  test("says who inserted, changed and deleted what", async () => {
    await addSchedule(service, { name: "it", labels: { team: "a" }, payload: { source: null } });
    await service.rows("UPDATE schedules SET enabled = false, timezone = 'Europe/Berlin', description = NULL");
    await service.rows("UPDATE schedules SET name = 'renamed', paused_until = 'infinity'");
    await service.rows("DELETE FROM schedules");
    const who = `role:${user}`;
    const inserted = {
      name: "it",
      kind: "cron",
      cron_expression: "* * * * *",
      action: "scout.trigger",
      action_version: 1,
      payload: { source: null },
      labels: { team: "a" },
      enabled: true,
      timezone: "UTC",
      dst_gap: "next_valid",
      catchup: "latest",
      catchup_window_seconds: 86_400,
      jitter_seconds: 0,
      depends_on: [],
      notify_on: ["failed"],
    };
    const changed = { enabled: false, timezone: "Europe/Berlin", name: "renamed", paused_until: "infinity" };
    expect(await entries()).toEqual([
      { who, operation: "insert", table_name: "schedules", subject: "it", changes: inserted },
      {
        who,
        operation: "update",
        table_name: "schedules",
        subject: "it",
        changes: { enabled: { from: true, to: false }, timezone: { from: "UTC", to: "Europe/Berlin" } },
      },
      {
        who,
        operation: "update",
        table_name: "schedules",
        subject: "it",
        changes: { name: { from: "it", to: "renamed" }, paused_until: { from: null, to: "infinity" } },
      },
      { who, operation: "delete", table_name: "schedules", subject: "renamed", changes: { ...inserted, ...changed } },
    ]);
  });

  test("knows every column that a user owns, and no other", async () => {
    await addSchedule(service, { name: "it" });
    await service.rows("TRUNCATE audit");
    const values: Record<string, string> = {
      ...{ labels: `'{"a": "b"}'`, payload: "'{}'", calendar: "'{}'", enabled: "false", targets: "ARRAY['a']" },
      ...{ depends_on: "ARRAY[gen_random_uuid()]", notify_on: "ARRAY['completed']", kind: "'manual'", priority: "1" },
      ...{ overlap: "'allow'", catchup: "'all'", dst_gap: "'skip'", dst_fold: "'both'" },
      ...{ interval_anchor: "now()", run_at: "now()", starts_at: "now()", ends_at: "now()", paused_until: "now()" },
    };
    const columns = [...SCHEDULE_COLUMNS, "paused_until", "pause_note"];
    const numbers = new Set([
      ...["action_version", "interval_seconds", "jitter_seconds", "max_runs", "catchup_window_seconds", "max_attempts"],
      ...["retry_backoff_seconds", "retry_backoff_multiplier", "retry_backoff_max_seconds", "timeout_seconds"],
      ...["heartbeat_seconds", "start_deadline_seconds", "pause_after_failures"],
    ]);
    for (const column of columns) {
      const value = values[column] ?? (numbers.has(column) ? "77" : "'other'");
      await service.rows(`UPDATE schedules SET ${column} = ${value}`);
    }
    const written = await entries();
    expect(written.map((entry) => Object.keys(entry.changes))).toEqual(columns.map((column) => [column]));
    expect(await service.rows("SELECT revision FROM schedules")).toEqual([{ revision: 1 + columns.length }]);
  });

  test("says nothing of an edit that changes nothing, nor of what the service writes by itself", async () => {
    service.setNow("2026-03-01T09:30:30Z");
    await addSchedule(service, { name: "it" });
    await service.rows("TRUNCATE audit");
    await service.rows("UPDATE schedules SET payload = payload, name = name, notify_on = notify_on");
    await plan(service.deps);
    service.setNow("2026-03-01T09:31:00Z");
    await (await fire(service.deps)).published;
    await service.rows("UPDATE schedules SET needs_planning = true, next_run_at = now(), consecutive_failures = 3");
    await service.rows(
      `INSERT INTO settings (key, value) VALUES ('listening', '1'), ('retention', '2')
       ON CONFLICT (key) DO UPDATE SET value = '3'`,
    );
    expect(await entries()).toEqual([]);
  });

  test("names whom the service acts for, and the role of anybody else who says so", async () => {
    await service.database.transaction(
      (tx) => tx.query("INSERT INTO schedules (name, kind, action) VALUES ('it', 'manual', 'x')"),
      { actor: "token:alice" },
    );
    await service.rows("UPDATE schedules SET description = 'y'");
    expect((await entries()).map((entry) => entry.who)).toEqual(["token:alice", `role:${user}`]);

    const role = `pocketwatch_audit_${Math.random().toString(36).slice(2)}`;
    await service.rows(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    await service.rows(`GRANT SELECT, UPDATE ON schedules TO ${role}`);
    const url = new URL(service.url);
    url.username = role;
    url.password = "secret";
    const { logger } = service.deps;
    const other = connect({ url: url.href, logger });
    try {
      await other.transaction((tx) => tx.query("UPDATE schedules SET description = 'z'"), { actor: "token:alice" });
      await other.transaction((tx) => tx.query("UPDATE schedules SET description = 'a'"));
    } finally {
      await other.close();
      await service.rows(`DROP OWNED BY ${role}`);
      await service.rows(`DROP ROLE ${role}`);
    }
    expect((await entries()).slice(2).map((entry) => entry.who)).toEqual([
      `token:alice (role:${role})`,
      `role:${role}`,
    ]);
  });

  test("writes instants alike, whatever zone the editor's session is in", async () => {
    await addSchedule(service, { name: "it", kind: "once", run_at: "2027-01-01T00:00:00Z" });
    await editor.query("SET TimeZone = 'Asia/Tokyo'");
    await editor.query("UPDATE schedules SET run_at = '2027-01-02 09:00'");
    expect((await entries()).at(-1)!.changes).toEqual({
      run_at: { from: "2027-01-01T00:00:00+00:00", to: "2027-01-02T00:00:00+00:00" },
    });
    expect((await editor.query("SHOW TimeZone")).rows).toEqual([{ TimeZone: "Asia/Tokyo" }]);
  });

  test("cuts long values off", async () => {
    const long = { source: "x".repeat(100_000) };
    await addSchedule(service, { name: "it", payload: long, description: "short" });
    await service.rows("UPDATE schedules SET payload = '{}'");
    await service.rows(
      "UPDATE schedules SET targets = ARRAY(SELECT 'machine ' || n FROM generate_series(1, 10000) AS n)",
    );
    await service.rows("DELETE FROM schedules");
    const cut = { cut_off: expect.stringMatching(/^\{"source": "x{988}$/), length: 100_014, md5: expect.any(String) };
    const targets = { cut_off: expect.stringMatching(/^\["machine 1", /), length: 158_894, md5: expect.any(String) };
    const [inserted, emptied, targeted, deleted] = await entries();
    expect(inserted!.changes).toMatchObject({ payload: cut, description: "short" });
    expect(emptied!.changes).toEqual({ payload: { from: cut, to: {} } });
    expect(targeted!.changes).toEqual({ targets: { from: null, to: targets } });
    expect(deleted!.changes).toMatchObject({ targets, description: "short" });
  });

  test("covers pools, an operator's settings, breakers closed by hand, and tables emptied", async () => {
    await service.rows("INSERT INTO pools (name, max_in_flight) VALUES ('gpu', 2)");
    await service.rows("UPDATE pools SET max_in_flight = NULL, drained = true, updated_at = now() WHERE name = 'gpu'");
    await service.rows("UPDATE pools SET updated_at = now() WHERE name = 'gpu'");
    await service.rows("DELETE FROM pools WHERE name = 'gpu'");
    await service.rows("INSERT INTO settings (key, value) VALUES ('drained', 'true')");
    await service.rows("UPDATE settings SET value = 'false', updated_at = now() WHERE key = 'drained'");
    await service.rows("UPDATE settings SET value = 'false', updated_at = now() WHERE key = 'drained'");
    await service.rows("DELETE FROM settings WHERE key = 'drained'");
    await service.rows("TRUNCATE schedules");
    expect((await entries()).map(({ who, ...entry }) => [...Object.values(entry)])).toEqual([
      ["insert", "pools", "gpu", { name: "gpu", max_in_flight: 2, drained: false }],
      ["update", "pools", "gpu", { max_in_flight: { from: 2, to: null }, drained: { from: false, to: true } }],
      ["delete", "pools", "gpu", { name: "gpu", drained: true }],
      ["insert", "settings", "drained", { key: "drained", value: true }],
      ["update", "settings", "drained", { value: { from: true, to: false } }],
      ["delete", "settings", "drained", { key: "drained", value: false }],
      ["truncate", "schedules", "*", {}],
    ]);
  });

  test("tells a breaker closed by hand from one that closes by itself", async () => {
    const open = () =>
      service.rows(
        `INSERT INTO breakers (key, action, threshold, cooldown_seconds, state)
         SELECT k, 'crawl.run', 5, 60, 'open' FROM unnest(ARRAY['one', 'two', 'three', 'four']) AS k
         ON CONFLICT (key) DO UPDATE SET state = 'open', updated_at = clock_timestamp()`,
      );
    await open();
    // As the service does: it notes the time, and names nobody.
    await service.rows(
      "UPDATE breakers SET state = 'half_open', updated_at = updated_at + interval '1 s' WHERE key = 'one'",
    );
    await service.rows(
      "UPDATE breakers SET state = 'closed', updated_at = updated_at + interval '1 s' WHERE key = 'one'",
    );
    expect(await entries()).toEqual([]);

    await editor.query("LISTEN pocketwatch");
    const heard = new Promise((resolve) => editor.on("notification", ({ payload }) => resolve(payload)));
    await service.rows("UPDATE breakers SET state = 'closed' WHERE key = 'two'");
    await editor.query("UPDATE breakers SET state = 'closed', updated_at = clock_timestamp() WHERE key = 'three'");
    await service.database.transaction(
      (tx) => tx.query("UPDATE breakers SET state = 'closed', updated_at = clock_timestamp() WHERE key = 'four'"),
      { actor: "token:bob" },
    );
    expect((await entries()).map(({ who, subject, changes }) => [who, subject, changes])).toEqual([
      [`role:${user}`, "two", { state: { from: "open", to: "closed" } }],
      [`role:${user}`, "three", { state: { from: "open", to: "closed" } }],
      ["token:bob", "four", { state: { from: "open", to: "closed" } }],
    ]);
    expect(await heard).toBe("supervise");
  });
});
