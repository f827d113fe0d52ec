import { randomUUID } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { pino } from "pino";
import { startPostgres } from "../dev/services/postgres.ts";
import { connect, type Database, type Statement, type Tx } from "../src/database/connection.ts";
import { claimPending, nextAvailableIn, poolsWithRoom } from "../src/database/dispatch.ts";
import { admitProbes, releasableBreakers } from "../src/database/held-runs.ts";
import { lockWaiters, waiters, waitingFacts } from "../src/database/waiting-runs.ts";
import { connected, freshDatabase } from "./support/databases.ts";
import { milliseconds, openPasses } from "./support/passes.ts";
import { report } from "./support/report.ts";
import { BATCH, insertRuns, situations } from "./support/situations.ts";

/*
 * What dispatch's transaction costs (pools, claim of 1,000 runs, next instant) with a million runs in its way, as against
 * with none, in alternation in two databases of one server; and what supervise's look at the waiters costs. The last
 * situation holds a snapshot open meanwhile, as a backup does. `tsx bench/waiting.ts [runs in the way] [rounds] [part of a
 * situation's name]`; EXPLAIN=1 also prints the claim's plan.
 */
const ROWS = Number(process.argv[2] ?? 1_000_000);
const ROUNDS = Number(process.argv[3] ?? 15);
const WANTED = process.argv[4] ?? "";
// The first few are not counted: they fill the cache and settle the plans.
const WARM_UP = 6;

const directory = await mkdtemp(join(tmpdir(), "pocketwatch-waiting-"));
await chmod(directory, 0o711);
const postgres = await startPostgres({ directory: join(directory, "postgres"), settings: { shared_buffers: "256MB" } });
try {
  const none = await open("none");
  const busy = await open("busy");
  for (const situation of situations(ROWS).filter(({ name }) => name.includes(WANTED))) {
    await prepare(none.sql, async () => {}, (await situation.beside?.(none.sql)) ?? {});
    await prepare(busy.sql, situation.prepare, situation.claimable ? null : {});
    const snapshot = situation.snapshot ? await holdSnapshot(busy.url) : null;
    if (process.env.EXPLAIN) for (const line of await explain(busy.database)) console.error(line);
    const floor: number[] = [];
    const rounds: number[] = [];
    const looks: number[] = [];
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      const without = await milliseconds(() => claimed(none.database));
      const among = await milliseconds(() => claimed(busy.database));
      if (round >= 0) {
        floor.push(without);
        rounds.push(among);
        looks.push(await milliseconds(() => lookAtWaiters(busy.database)));
      }
    }
    await snapshot?.end();
    const figure = `claim of ${BATCH.toLocaleString("en")} among ${ROWS.toLocaleString("en")} ${situation.name}`;
    report({ benchmark: "waiting", figure, unit: "ms", rounds, floor, limit: { of: "ratio", value: 1.2 } });
    report({
      benchmark: "waiting",
      figure: `supervise's look at waiters among ${situation.name}`,
      unit: "ms",
      rounds: looks,
    });
  }
  for (const { sql, database } of [none, busy]) {
    await sql.end();
    await database.close();
  }
} finally {
  await postgres.remove();
  await rm(directory, { recursive: true, force: true });
}

async function open(name: string) {
  const url = await freshDatabase(postgres.url, name);
  await (await openPasses(url)).close(); // makes the actions' pools
  return { url, sql: await connected(url), database: connect({ url, logger: pino({ level: "silent" }) }) };
}

type Columns = Record<string, string>;

async function prepare(sql: pg.Client, fill: (sql: pg.Client) => Promise<unknown>, due: Columns | null): Promise<void> {
  await sql.query("TRUNCATE runs, leases, breakers");
  await fill(sql);
  if (due !== null) await insertRuns(sql, (ROUNDS + WARM_UP + 1) * BATCH, due);
  await sql.query("VACUUM ANALYZE runs");
}

async function claim(tx: Tx): Promise<number> {
  const lease = { id: randomUUID(), instance: "bench" };
  const found = await claimPending(tx, await poolsWithRoom(tx), BATCH, lease);
  await nextAvailableIn(tx);
  return found.length;
}

async function claimed(database: Database): Promise<void> {
  const found = await database.transaction(claim);
  if (found !== BATCH) throw new Error(`${found} of ${BATCH} runs were claimed`);
}

function lookAtWaiters(database: Database): Promise<void> {
  return database.transaction(async (tx) => {
    const ids = await waiters(tx, "00000000-0000-0000-0000-000000000000", 200);
    await waitingFacts(tx, await lockWaiters(tx, ids));
    await admitProbes(tx, 50);
    await releasableBreakers(tx, 50);
  });
}

/** A session that has read something and does not end its transaction: what it saw cannot be cleaned away. */
async function holdSnapshot(url: string): Promise<pg.Client> {
  const reader = await connected(url);
  await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  await reader.query("SELECT FROM runs LIMIT 1");
  return reader;
}

/** The claim's plan; the transaction in which it ran is rolled back. */
async function explain(database: Database): Promise<string[]> {
  const rollback = new Error("only looking");
  let plan: string[] = [];
  await database
    .transaction(async (tx) => {
      const explaining: Tx = {
        get orm() {
          return tx.orm;
        },
        async query<Row>(statement: Statement | string, values: readonly unknown[] = []) {
          if (typeof statement === "string" || statement.name !== "claim_pending")
            return tx.query<Row>(statement, values);
          const rows = await tx.query<Record<string, string>>(`EXPLAIN (ANALYZE, BUFFERS) ${statement.text}`, values);
          plan = rows.map((row) => row["QUERY PLAN"]!);
          return [];
        },
      };
      await claim(explaining);
      throw rollback;
    })
    .catch((error) => {
      if (error !== rollback) throw error;
    });
  return plan;
}
