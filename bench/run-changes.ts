import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startPostgres } from "../dev/services/postgres.ts";
import { connect } from "../src/database/connection.ts";
import { migrate } from "../src/database/migrate.ts";
import { lockRuns, writeRunStates } from "../src/database/run-states.ts";
import { report } from "./support/report.ts";

/*
 * What noting changes of runs costs the writer: the transaction of ingest (lock, write) without the triggers, with them
 * while nobody follows, and while somebody does; by turns, so that they share the machine's moods.
 * `tsx bench/run-changes.ts [rounds] [runs per batch]`
 */
const ROUNDS = Number(process.argv[2] ?? 60);
const BATCH = Number(process.argv[3] ?? 500);
const BATCHES = 20;
const WARM_UP = 10;

const directory = await mkdtemp(join(tmpdir(), "pocketwatch-changes-"));
await chmod(directory, 0o711);
const postgres = await startPostgres({ directory: join(directory, "postgres"), settings: {} });
const database = connect({ url: postgres.url, logger: pino({ level: "silent" }) });
const sql = (text: string, values: unknown[] = []) => database.pool.query(text, values);

const TURNS = [
  ["without triggers", ["ALTER TABLE runs DISABLE TRIGGER USER"]],
  ["nobody follows", ["ALTER TABLE runs ENABLE TRIGGER USER", "DELETE FROM run_followers"]],
  ["followed", ["INSERT INTO run_followers VALUES ('bench', 'infinity')"]],
] as const;

try {
  await migrate(postgres.url);
  const { rows } = await sql(
    `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, status, dispatched_at, deadline_at, policy)
     SELECT 'bench', 1, 'manual', now(), 'dispatched', now(), now() + interval '1 day',
       '{"max_attempts": 3, "timeout_seconds": 7200, "heartbeat_seconds": null, "notify_on": ["failed"]}'
     FROM generate_series(1, $1) RETURNING id`,
    [BATCH * BATCHES],
  );
  const ids = rows.map((row) => row.id as string).sort();
  const times: Record<string, number[]> = Object.fromEntries(TURNS.map(([name]) => [name, []]));
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    const from = ((round + WARM_UP) % BATCHES) * BATCH;
    for (const [name, prepare] of TURNS) {
      for (const statement of prepare) await sql(statement);
      const began = performance.now();
      await database.transaction(async (tx) => {
        const runs = await lockRuns(tx, ids.slice(from, from + BATCH));
        const at = runs[0]!.now;
        await writeRunStates(
          tx,
          runs.map((run) => ({ ...run, status: "running" as const, started_at: at, heartbeat_at: at })),
        );
      });
      if (round >= 0) times[name]!.push(performance.now() - began);
    }
    if (round % BATCHES === 0) await sql("VACUUM runs");
  }
  const [[bare], ...noted] = TURNS;
  for (const [name] of noted) {
    report({
      benchmark: "run-changes",
      figure: `a transaction of ${BATCH} status updates, ${name}`,
      unit: "ms",
      rounds: times[name]!,
      floor: times[bare]!,
    });
  }
} finally {
  await database.close();
  await postgres.remove();
  await rm(directory, { recursive: true, force: true });
}
