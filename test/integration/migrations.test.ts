import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { getTableColumns, getTableName, is } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate as applyMigrations } from "drizzle-orm/node-postgres/migrator";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { migrate } from "../../src/database/migrate.ts";
import * as schema from "../../src/database/schema.ts";
import { createTestDatabase, databaseUrl, dropDatabases, onServer, type TestDatabase } from "../support/database.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const tables = Object.values(schema as Record<string, unknown>).filter((value) => is(value, PgTable)) as PgTable[];

let migrated: TestDatabase;
let sql: pg.Client;
let directory: string;
beforeAll(async () => {
  migrated = await createTestDatabase();
  sql = new pg.Client(migrated.url);
  await sql.connect();
  directory = await mkdtemp(join(tmpdir(), "pocketwatch-migrations-"));
  await cp(join(ROOT, "drizzle"), join(directory, "drizzle"), { recursive: true });
});
afterAll(async () => {
  await sql.end();
  await migrated.drop();
  await rm(directory, { recursive: true });
});

const journal = async () =>
  JSON.parse(await readFile(join(ROOT, "drizzle/meta/_journal.json"), "utf8")) as { entries: { tag: string }[] };
const rows = async (text: string) => (await sql.query(text)).rows;

/** An empty database on the run's server, gone afterwards. */
async function withEmptyDatabase(work: (url: string) => Promise<void>): Promise<void> {
  const server = inject("postgresUrl");
  const name = `pocketwatch_${inject("runId")}_empty_${Math.random().toString(36).slice(2)}`;
  await onServer(server, (client) => client.query(`CREATE DATABASE ${name}`));
  try {
    await work(databaseUrl(server, name));
  } finally {
    await dropDatabases(server, name);
  }
}

describe("migrations and schema.ts agree", () => {
  test("drizzle-kit finds nothing to generate", async () => {
    // It takes paths relative to where it runs.
    const options = ["--dialect", "postgresql", "--schema", join(ROOT, "src/database/schema.ts"), "--out", "drizzle"];
    await promisify(execFile)(join(ROOT, "node_modules/.bin/drizzle-kit"), ["generate", ...options], {
      cwd: directory,
    });
    const files = async (folder: string) => (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
    const generated = await files(join(directory, "drizzle"));
    const known = await files(join(ROOT, "drizzle"));
    const [added] = generated.filter((name) => !known.includes(name));
    const missing = added === undefined ? "" : await readFile(join(directory, "drizzle", added), "utf8");
    expect(missing).toBe("");
    expect(known).toEqual((await journal()).entries.map(({ tag }) => `${tag}.sql`));
  });

  test.each(tables.map((table) => [getTableName(table), table] as const))(
    "%s: columns, indexes, checks",
    async (name, table) => {
      const columns = await rows(
        `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required, atthasdef AS defaulted,
         attidentity <> '' AS identity
       FROM pg_attribute WHERE attrelid = '${name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
      );
      expect(columns).toEqual(
        Object.values(getTableColumns(table)).map((column) => ({
          name: column.name,
          type: printed(column.getSQLType()),
          required: column.notNull,
          defaulted: column.hasDefault && column.generatedIdentity === undefined,
          identity: column.generatedIdentity !== undefined,
        })),
      );
      const config = getTableConfig(table);
      const named = await rows(
        `SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = '${name}'::regclass
         AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
       UNION ALL SELECT conname FROM pg_constraint WHERE conrelid = '${name}'::regclass AND contype IN ('c', 'u')
       ORDER BY 1`,
      );
      const expected = [
        ...config.indexes.map((index) => index.config.name),
        ...config.checks.map((check) => check.name),
        ...config.uniqueConstraints.map((constraint) => constraint.name),
        ...config.columns.flatMap((column) => (column.isUnique ? (column.uniqueName ?? []) : [])),
      ];
      expect(named.map((row) => row.name)).toEqual(expected.sort());
    },
  );
});

/** A type as Postgres prints it. */
function printed(type: string): string {
  return type.replace(/^timestamp \((\d)\)/, "timestamp($1)");
}

describe("comments", () => {
  test("every table, view and column has one", async () => {
    expect(
      await rows(
        `SELECT c.relname AS relation, a.attname AS column FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'v') AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
         ORDER BY 1, a.attnum`,
      ),
    ).toEqual([]);
    expect(
      await rows("SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"),
    ).toHaveLength(3);
  });

  test("every function and trigger has one", async () => {
    const functions = await rows(
      `SELECT proname AS name, obj_description(oid, 'pg_proc') AS comment FROM pg_proc WHERE pronamespace = 'public'::regnamespace`,
    );
    const triggers = await rows(
      `SELECT tgname AS name, obj_description(oid, 'pg_trigger') AS comment FROM pg_trigger WHERE NOT tgisinternal`,
    );
    expect([...functions, ...triggers].filter((row) => row.comment === null)).toEqual([]);
    expect(functions.map((row) => row.name)).toContain("pocketwatch_trigger");
    expect(triggers.map((row) => row.name)).toContain("schedules_edited");
  });

  test("a column that the service keeps says so, a column that a user owns does not", async () => {
    const { SCHEDULE_COLUMNS } = await import("../../src/database/schedule-columns.ts");
    const kept = await rows(
      `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'schedules'::regclass AND attnum > 0
         AND col_description(attrelid, attnum) LIKE 'Kept by the service%' ORDER BY attnum`,
    );
    const names = Object.keys(getTableColumns(schema.schedules));
    const owned = new Set<string>(["id", "paused_until", "pause_note", ...SCHEDULE_COLUMNS]);
    expect(kept.map((row) => row.name)).toEqual(names.filter((name) => !owned.has(name)));
  });
});

describe("migrating", () => {
  test("instances that start together migrate once", async () => {
    await withEmptyDatabase(async (url) => {
      await Promise.all([1, 2, 3, 4, 5].map(() => migrate(url)));
      const { entries } = await journal();
      await onServer(url, async (client) => {
        const applied = await client.query("SELECT count(*)::int AS n FROM drizzle.__drizzle_migrations");
        expect(applied.rows).toEqual([{ n: entries.length }]);
        expect((await client.query("SELECT name FROM pools")).rows).toEqual([{ name: "default" }]);
      });
      await migrate(url);
    });
  });

  test("with rows in place: they stay as they are, and what is new applies to them", async () => {
    await withEmptyDatabase(async (url) => {
      // The first version that had tables and triggers.
      const { entries, ...head } = await journal();
      const old = join(directory, "old");
      await cp(join(ROOT, "drizzle"), old, { recursive: true });
      await writeFile(join(old, "meta/_journal.json"), JSON.stringify({ ...head, entries: entries.slice(0, 3) }));
      await onServer(url, async (client) => {
        await applyMigrations(drizzle(client), { migrationsFolder: old });
        await client.query(`
          INSERT INTO schedules (name, kind, cron_expression, action, labels) VALUES ('a', 'cron', '0 * * * *', 'x', '{"a": "b"}');
          INSERT INTO schedules (name, kind, run_at, action, paused_until) VALUES ('b', 'once', '2030-01-01', 'x', 'infinity');
          UPDATE schedules SET needs_planning = false, next_run_at = '2030-01-01', resolved = '{"pool": "default"}';
          INSERT INTO schedules (name, kind, action) VALUES ('c', 'manual', 'x');
          INSERT INTO runs (schedule_name, action, action_version, trigger_type, scheduled_for, status, attempt)
          SELECT 'a', 'x', 1, 'manual', now(), 'completed', 1 + n % 2 FROM generate_series(1, 100) AS n;
          INSERT INTO requests (source, schedule_name) VALUES ('sql', 'a');
          INSERT INTO pools (name, max_in_flight) VALUES ('p', 3)`);
        const before = (await client.query("SELECT * FROM schedules ORDER BY name")).rows;
        await migrate(url);
        expect((await client.query("SELECT * FROM schedules ORDER BY name")).rows).toEqual(
          before.map((row) => ({ ...row, entered_by: null, not_due: row.name === "c" })),
        );
        expect((await client.query("SELECT next_run_at, schedule_ids FROM agenda")).rows).toEqual([
          { next_run_at: before[0].next_run_at, schedule_ids: [before[0].id, before[1].id].sort() },
        ]);
        expect((await client.query("SELECT count(*)::int AS n FROM run_history")).rows).toEqual([{ n: 100 }]);
        expect((await client.query("SELECT name, state FROM schedule_overview ORDER BY 1")).rows).toEqual([
          { name: "a", state: "active" },
          { name: "b", state: "paused" },
          { name: "c", state: "active" },
        ]);
        expect((await client.query("SELECT * FROM audit")).rows).toEqual([]);
        await client.query("UPDATE schedules SET description = 'edited' WHERE name = 'a'");
        expect((await client.query("SELECT subject, changes FROM audit")).rows).toEqual([
          { subject: "a", changes: { description: { from: null, to: "edited" } } },
        ]);
      });
    });
  });

  test("into a schema of its own, whatever an editor's search_path is later", async () => {
    await withEmptyDatabase(async (url) => {
      const name = new URL(url).pathname.slice(1);
      await onServer(url, async (client) => {
        await client.query(`CREATE SCHEMA watch; ALTER DATABASE ${name} SET search_path = watch`);
      });
      await migrate(url);
      await onServer(url, async (client) => {
        await client.query("SET search_path = pg_catalog");
        await client.query("INSERT INTO watch.schedules (name, kind, action) VALUES ('it', 'manual', 'x')");
        await client.query("SELECT watch.pocketwatch_pause('it'), watch.pocketwatch_trigger('it')");
        await client.query("INSERT INTO watch.pools (name) VALUES ('p'); DELETE FROM watch.pools WHERE name = 'p'");
        await client.query("DELETE FROM watch.schedules");
        const { rows } = await client.query("SELECT operation FROM watch.audit ORDER BY id");
        expect(rows.map((row) => row.operation)).toEqual(["insert", "update", "insert", "delete", "delete"]);
      });
    });
  });
});
