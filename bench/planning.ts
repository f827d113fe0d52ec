import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { pino } from "pino";
import { startPostgres } from "../dev/services/postgres.ts";
import { loadActions } from "../src/contracts/action-registry.ts";
import { connect } from "../src/database/connection.ts";
import { migrate } from "../src/database/migrate.ts";
import { ensurePools } from "../src/database/pools.ts";
import type { Deps } from "../src/deps.ts";
import { plan } from "../src/passes/plan.ts";
import { report } from "./support/report.ts";

/*
 * N schedules with distinct cron expressions in many zones are edited with one statement; how fast the plan pass gets
 * through them, in one loop as in the service: `npx tsx bench/planning.ts [schedules] [rounds]`. Postgres is private, on
 * this machine's disk, with fsync on.
 */
const COUNT = Number(process.argv[2] ?? 100_000);
const ROUNDS = Number(process.argv[3] ?? 5);
const LIMIT_PER_SECOND = 20_000;
const CONTRACTS = fileURLToPath(new URL("../contracts", import.meta.url));

const EDITS: Readonly<Record<string, string>> = {
  payload: `payload = '{"source": "stratninja", "max_strategies": 21}'`,
  timing: `cron_expression = '1' || substr(cron_expression, 2), jitter_seconds = 1`,
  pause: "paused_until = 'infinity'",
  resume: "paused_until = NULL",
};

const directory = await mkdtemp(join(tmpdir(), "pocketwatch-bench-"));
await chmod(directory, 0o711);
const postgres = await startPostgres({ directory: join(directory, "postgres") });
await migrate(postgres.url);
const database = connect({ url: postgres.url, logger: pino({ level: "silent" }) });
const editor = new pg.Client(postgres.url);
await editor.connect();
const sql = (text: string, values: unknown[] = []) => editor.query(text, values);
const registry = await loadActions(CONTRACTS);
await database.transaction((tx) =>
  ensurePools(
    tx,
    registry.list().flatMap((action) => action.pool ?? []),
  ),
);
const deps = {
  database,
  actions: () => registry,
  wake: () => {},
  logger: pino({ level: "silent" }),
} as unknown as Deps;

async function planAll(): Promise<number> {
  const began = performance.now();
  let planned = 0;
  for (;;) {
    const result = await plan(deps);
    planned += result.planned;
    if (!result.full) break;
  }
  const rate = planned / ((performance.now() - began) / 1_000);
  const { rows } = await sql("SELECT min(problem) AS problem FROM schedules");
  if (rows[0].problem !== null) throw new Error(rows[0].problem);
  if (planned !== COUNT) throw new Error(`${planned} of ${COUNT} schedules were planned`);
  return rate;
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1_000;
}

const inserting = await seconds(() =>
  sql(
    `INSERT INTO schedules (name, kind, cron_expression, timezone, labels, action, payload)
     SELECT 'schedule ' || n, 'cron', format('%s %s %s * *', n % 60, n / 60 % 24, 1 + n / 1440 % 28), z.zones[n % cardinality(z.zones) + 1],
       jsonb_build_object('team', 'team ' || n % 50), 'scout.trigger', '{"source": "stratninja", "max_strategies": 20}'
     FROM generate_series(1, $1) AS n, (SELECT $2::text[] AS zones) AS z`,
    [COUNT, Intl.supportedValuesOf("timeZone").filter((_, index) => index % 8 === 0)],
  ),
);
console.error(`${COUNT} schedules inserted in ${inserting.toFixed(1)} s`);
console.error(`first planning: ${Math.round(await planAll()).toLocaleString("en")} rows/s`);

const rates = new Map(Object.keys(EDITS).map((name) => [name, [] as number[]]));
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [name, set] of Object.entries(EDITS)) {
    const editing = await seconds(() => sql(`UPDATE schedules SET ${set}`));
    const rate = await planAll();
    rates.get(name)!.push(rate);
    console.error(
      `${name}: ${Math.round(rate).toLocaleString("en")} rows/s (the edit itself: ${editing.toFixed(1)} s)`,
    );
  }
}
for (const [name, rounds] of rates) {
  report({
    benchmark: "planning",
    figure: `schedules planned after an edit of ${COUNT.toLocaleString("en")}: ${name}`,
    unit: "rows/s",
    rounds,
    limit: { of: "median", value: LIMIT_PER_SECOND },
  });
}
await editor.end();
await database.close();
await postgres.remove();
await rm(directory, { recursive: true, force: true });
