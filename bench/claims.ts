import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startPostgres } from "../dev/services/postgres.ts";
import { connect, type Statement, type Tx } from "../src/database/connection.ts";
import { claimPending, nextAvailableIn, poolsWithRoom } from "../src/database/dispatch.ts";
import { admitProbes, releasableBreakers } from "../src/database/held-runs.ts";
import { migrate } from "../src/database/migrate.ts";
import { lockWaiters, waiters, waitingFacts } from "../src/database/waiting-runs.ts";
import { median } from "./support/figures.ts";

/*
 * What a claim costs with a million runs in its way, as against with none. Prints, per situation, the median time of one
 * claim of 1,000 runs (pools, claim, next instant: what dispatch does in its transaction), and of the claim itself what
 * EXPLAIN (ANALYZE, BUFFERS) says. `tsx bench/claims.ts [rows]`
 */
const ROWS = Number(process.argv[2] ?? 1_000_000);
const BATCH = 1_000;
const ROUNDS = 15;
const WARM_UP = 6;

const directory = await mkdtemp(join(tmpdir(), "pocketwatch-claims-"));
await chmod(directory, 0o711);
const postgres = await startPostgres({ directory: join(directory, "postgres"), settings: { shared_buffers: "256MB" } });
const database = connect({ url: postgres.url, logger: pino({ level: "silent" }) });
const sql = (text: string, values: unknown[] = []) => database.pool.query(text, values);

const POLICY = `'{"timeout_seconds": 3600, "heartbeat_seconds": null, "max_attempts": 3, "start_deadline_seconds": 86400,
  "notify_on": [], "overlap": "allow"}'`;

/** Inserts runs; `columns` are SQL expressions over n. */
async function insert(count: number, columns: Record<string, string>): Promise<void> {
  const row: Record<string, string> = {
    ...{ action: "'bench'", action_version: "1", trigger_type: "'manual'", scheduled_for: "now()", policy: POLICY },
    ...{ available_at: "now() - interval '1 hour' + n * interval '1 millisecond'", status: "'pending'" },
    deadline_at: "now() + interval '1 day'",
    ...columns,
  };
  for (let from = 1; from <= count; from += 100_000) {
    const to = Math.min(count, from + 99_999);
    const names = Object.keys(row).join(", ");
    await sql(
      `INSERT INTO runs (${names}) SELECT ${Object.values(row).join(", ")} FROM generate_series(${from}, ${to}) AS n`,
    );
  }
}

const due = (count: number) => insert(count, {});
const lease = { id: "", instance: "bench" };
let leases = 0;
const nextLease = () => ({ ...lease, id: `00000000-0000-0000-0000-${String(++leases).padStart(12, "0")}` });

async function claim(tx: Tx): Promise<number> {
  const claimed = await claimPending(tx, await poolsWithRoom(tx), BATCH, nextLease());
  await nextAvailableIn(tx);
  return claimed.length;
}

/** The same transaction, but each statement is explained instead; the claim's own plan is answered. */
async function explain(): Promise<{ ms: number; buffers: number; rows: string[] }> {
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
      throw new Error("rolled back");
    })
    .catch((error) => {
      if (error.message !== "rolled back") throw error;
    });
  const ms = Number(plan.find((line) => line.startsWith("Execution Time"))?.match(/[\d.]+/)?.[0]);
  const top = plan.find((line) => line.includes("Buffers:")) ?? "";
  const buffers = [...top.matchAll(/(hit|read)=(\d+)/g)].reduce((sum, match) => sum + Number(match[2]), 0);
  const removed = plan.filter((line) => /Rows Removed|Seq Scan|Heap Fetches/.test(line)).map((line) => line.trim());
  const scans = plan.filter((line) => /Index.*runs_lanes/.test(line)).map((line) => line.trim());
  return { ms, buffers, rows: [...new Set([...scans, ...removed])] };
}

interface Situation {
  readonly name: string;
  readonly prepare: () => Promise<void>;
  /** Most runs that a claim finds. */
  readonly finds: number;
}

const situations: Situation[] = [
  { name: "nothing in the way", finds: BATCH, prepare: () => due(40_000) },
  {
    name: "half high priority and in backoff, half due",
    finds: BATCH,
    async prepare() {
      await insert(ROWS / 2, {
        priority: "1",
        status_reason: "'retry'",
        attempt: "2",
        available_at: "now() + n * interval '1 second'",
      });
      await due(ROWS / 2);
    },
  },
  {
    name: "waiting, of one schedule and of many",
    finds: BATCH,
    async prepare() {
      const waiting = { status: "'waiting'", status_reason: "'buffered'", exclusive: "true" };
      await insert(ROWS / 2, { ...waiting, schedule_id: "'00000000-0000-0000-0000-000000000001'" });
      await insert(ROWS / 2, { ...waiting, schedule_id: "md5((n % 1000)::text)::uuid" });
      await due(40_000);
    },
  },
  {
    name: "held by one breaker",
    finds: BATCH,
    async prepare() {
      await insert(ROWS, { status: "'waiting'", status_reason: "'breaker_open'", breaker_key: "'bench:host'" });
      await sql(
        "INSERT INTO breakers (key, action, state, threshold, cooldown_seconds, opened_at) VALUES ('bench:host', 'bench', 'open', 5, 3600, now())",
      );
      await due(40_000);
    },
  },
  {
    name: "flagged to be cancelled, at the head of the queue",
    finds: BATCH,
    async prepare() {
      await insert(ROWS, { cancel_requested_at: "now()", available_at: "now() - interval '2 hours'" });
      await due(40_000);
    },
  },
  {
    name: "in a full pool of ten places, and in a drained one",
    finds: BATCH,
    async prepare() {
      await sql(
        "INSERT INTO pools (name, max_in_flight, drained) VALUES ('full', 10, false), ('drained', NULL, true) ON CONFLICT DO NOTHING",
      );
      await insert(10, { pool: "'full'", status: "'running'" });
      await insert(ROWS / 2, { pool: "'full'", priority: "1 + n % 3" });
      await insert(ROWS / 2, { pool: "'drained'", priority: "1 + n % 3" });
      await due(40_000);
    },
  },
  {
    name: "in a capped pool that has room, half in backoff",
    finds: BATCH,
    async prepare() {
      await sql("INSERT INTO pools (name, max_in_flight) VALUES ('wide', 100000) ON CONFLICT DO NOTHING");
      await insert(ROWS / 2, { pool: "'wide'", priority: "1", available_at: "now() + n * interval '1 second'" });
      await insert(ROWS / 2, { pool: "'wide'", priority: "1 + n % 3" });
    },
  },
];

console.log(`claims of ${BATCH} among ${ROWS.toLocaleString("en")} runs\n`);
try {
  await migrate(postgres.url);
  for (const { name, prepare, finds } of situations) {
    await sql("TRUNCATE runs, leases, breakers");
    await prepare();
    await sql("VACUUM ANALYZE runs");
    const explained = await explain();
    const times: number[] = [];
    // The first few are not counted: they fill the cache and settle the plans.
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      const began = performance.now();
      const found = await database.transaction(claim);
      if (round >= 0) times.push(performance.now() - began);
      if (found !== finds) throw new Error(`${name}: ${found} runs claimed, ${finds} expected`);
    }
    console.log(
      `${name}: ${median(times).toFixed(1)} ms (${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)})`,
    );
    console.log(`    EXPLAIN: ${explained.ms.toFixed(1)} ms, ${explained.buffers} buffers`);
    for (const line of explained.rows) console.log(`    ${line}`);
    const began = performance.now();
    await database.transaction(async (tx) => {
      const ids = await waiters(tx, "00000000-0000-0000-0000-000000000000", 200);
      await waitingFacts(tx, await lockWaiters(tx, ids));
      await admitProbes(tx, 50);
      await releasableBreakers(tx, 50);
    });
    console.log(`    supervise's look at 200 waiters and all breakers: ${(performance.now() - began).toFixed(1)} ms\n`);
  }
} finally {
  await database.close();
  await postgres.remove();
  await rm(directory, { recursive: true, force: true });
}
