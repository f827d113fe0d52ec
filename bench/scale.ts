import { setTimeout as sleep } from "node:timers/promises";
import { fire } from "../src/passes/fire.ts";
import { fireOnTime } from "../src/passes/fire-foreseen.ts";
import { cores, cpuSeconds, residentMegabytes } from "./support/cpu.ts";
import { connected, freshDatabase, insertPlannedSchedules, MAKE_DUE } from "./support/databases.ts";
import { AHEAD_MS, allFired, lookedAhead, milliseconds, openPasses, type Passes } from "./support/passes.ts";
import { report } from "./support/report.ts";
import { startService } from "./support/service.ts";
import { startServices } from "./support/services.ts";

/*
 * The fire pass with 1,000 schedules due, drawn anew each time, among 1,000 to a million: foreseen, as they are in a service
 * that runs, and claimed. Each size has a database of its own on one server, and every round measures all of them. Then the
 * service itself with the million: its memory while it plans a thousand edits and fires, and its processor while nothing is
 * due. `tsx bench/scale.ts [most schedules] [rounds]`
 */
const MOST = Number(process.argv[2] ?? 1_000_000);
const ROUNDS = Number(process.argv[3] ?? 25);
const SIZES = [1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= MOST);
const DUE = 1_000;
const WARM_UP = 5;
const IDLE_SECONDS = 35;

const services = await startServices();
try {
  const databases: { size: number; url: string; passes: Passes; foreseen: number[]; claimed: number[] }[] = [];
  for (const size of SIZES) {
    const url = await freshDatabase(services.postgres.url, `scale_${size}`);
    await insertPlannedSchedules(url, size);
    databases.push({ size, url, passes: await openPasses(url), foreseen: [], claimed: [] });
  }
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const { passes, size, foreseen, claimed } of databases) {
      await makeDue(passes, size, AHEAD_MS);
      const outlook = await lookedAhead(passes.deps);
      const ahead = await milliseconds(() => allFired(fireOnTime(passes.deps, outlook, DUE), DUE));
      await makeDue(passes, size, 0);
      const late = await milliseconds(() => allFired(fire(passes.deps, DUE), DUE));
      if (round < 0) continue;
      foreseen.push(ahead);
      claimed.push(late);
    }
  }
  const [smallest] = databases;
  for (const path of ["foreseen", "claimed"] as const) {
    for (const { size, [path]: rounds } of databases) {
      report({
        benchmark: "scale",
        figure: `fire pass, ${DUE.toLocaleString("en")} due among ${size.toLocaleString("en")}, ${path}`,
        unit: "ms",
        rounds,
        floor: size === smallest!.size ? undefined : smallest![path],
        limit: size === 1_000_000 ? { of: "ratio", value: 1.1 } : undefined,
      });
    }
  }
  const largest = databases.at(-1)!;
  for (const { passes } of databases) await passes.close();
  await serve(largest.url);
} finally {
  await services.stop();
}

/** Draws the schedules that are due next; what fired before has ended, or overlap would hold its successors back. */
async function makeDue({ database }: Passes, size: number, in_ms: number): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query(
      "UPDATE runs SET status = 'completed', completed_at = now(), deadline_at = NULL WHERE deadline_at IS NOT NULL",
    );
    const drawn = await tx.query<{ id: string }>(
      `SELECT md5('schedule ' || n)::uuid AS id FROM (
         SELECT DISTINCT floor(random() * ${size})::int AS n FROM generate_series(1, ${size === DUE ? 20 * DUE : 2 * DUE})) AS drawn
       LIMIT ${DUE}`,
    );
    await tx.query(MAKE_DUE, [drawn.map(({ id }) => id), in_ms]);
  });
}

async function serve(url: string): Promise<void> {
  const service = await startService({ ...services, postgres: { ...services.postgres, url } });
  const sql = await connected(url);
  const pid = service.process.pid!;
  const memory: number[] = [];
  const busy: number[] = [];
  try {
    for (let round = 0; round < 5; round += 1) {
      await sql.query(
        "UPDATE schedules SET description = 'round ' || $1 WHERE id IN (SELECT id FROM schedules LIMIT 1000)",
        [round],
      );
      while ((await sql.query("SELECT FROM schedules WHERE needs_planning LIMIT 1")).rowCount !== 0) await sleep(50);
      memory.push(residentMegabytes(pid));
    }
    await sql.query("VACUUM ANALYZE schedules");
    // The daily round of retention walks over all schedules once; a service that has just met them begins with it.
    const round = "SELECT FROM settings WHERE key = 'retention' AND value->>'finished_at' IS NOT NULL";
    while ((await sql.query(round)).rowCount === 0) await sleep(500);
    for (let round = 0; round < 5; round += 1) {
      const before = await cpuSeconds(pid);
      await sleep((IDLE_SECONDS * 1_000) / 5);
      const used = cores(before, await cpuSeconds(pid), IDLE_SECONDS / 5);
      busy.push(used.service * 100);
      memory.push(residentMegabytes(pid));
    }
  } finally {
    await sql.end();
    await service.stop();
  }
  const among = `${MOST.toLocaleString("en")} schedules`;
  report({
    benchmark: "scale",
    figure: `resident memory, ${among}`,
    unit: "MB",
    rounds: memory,
    limit: { of: "median", value: 200 },
  });
  report({
    benchmark: "scale",
    figure: `idle processor, ${among}`,
    unit: "% of a core",
    rounds: busy,
    limit: { of: "median", value: 1 },
  });
}
