import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../dev/services/postgres.ts";
import { freshDatabase, insertPlannedSchedules } from "./support/databases.ts";
import { fillHistory, SCHEDULES, warm } from "./support/history.ts";
import { compared } from "./support/history-work.ts";
import { report } from "./support/report.ts";

/*
 * What the passes and the API's list queries cost with twenty million ended runs in the table, as against twenty thousand,
 * which is nothing to a table but lets a list have pages: in alternation, in two databases of one server.
 * `tsx bench/history.ts [runs] [rounds] [--data <directory>] [--fill <runs>]`
 *
 * Filling takes a while, so `--data` keeps the server's directory for the next time, and `--fill` adds so many runs
 * at most and ends.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { data: { type: "string" }, fill: { type: "string" } },
});
const RUNS = Number(positionals[0] ?? 20_000_000);
const ROUNDS = Number(positionals[1] ?? 15);
const WARM_UP = 3;
const FEW = 20_000;

// While filling, nothing is waited for: a crash means filling again.
const settings: Record<string, string> =
  values.fill === undefined
    ? { shared_buffers: "4GB" }
    : { shared_buffers: "4GB", max_wal_size: "16GB", fsync: "off", full_page_writes: "off", autovacuum: "off" };
const directory = values.data ?? (await mkdtemp(join(tmpdir(), "pocketwatch-history-")));
await mkdir(directory, { recursive: true });
await chmod(directory, 0o711);
const postgres = await startPostgres({ directory: join(directory, "postgres"), settings });
try {
  const full = await freshDatabase(postgres.url, "bench_full");
  const few = await freshDatabase(postgres.url, "bench_few");
  for (const url of [full, few]) await insertPlannedSchedules(url, SCHEDULES);
  const most = values.fill === undefined ? RUNS : Number(values.fill);
  // As many runs per schedule in both.
  await fillHistory(few, FEW, (SCHEDULES * FEW) / RUNS);
  const filled = await fillHistory(full, RUNS, SCHEDULES, most);
  if (filled.added > 0)
    console.error(`${filled.added} runs added in ${filled.seconds.toFixed(0)} s; ${filled.total} in all`);
  if (values.fill === undefined) {
    for (const url of [full, few]) await warm(url);
    for (const { figure, rounds, floor } of await compared(full, few, WARM_UP, ROUNDS)) {
      const words = `${figure}, ${RUNS.toLocaleString("en")} runs in the table`;
      // Retention counts the runs of the schedules it looks at; those without a history have none.
      const limit = figure.startsWith("retention") ? undefined : ({ of: "ratio", value: 1.2 } as const);
      report({ benchmark: "history", figure: words, unit: "ms", rounds, floor, limit });
    }
  }
} finally {
  if (values.data === undefined) {
    await postgres.remove();
    await rm(directory, { recursive: true, force: true });
  } else await postgres.stop();
}
