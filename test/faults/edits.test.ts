import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { startPostgres } from "../../dev/services/postgres.ts";
import { migrate } from "../../src/database/migrate.ts";
import { waitFor } from "../support/wait-for.ts";
import { MIXED, type Planned } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { Servers } from "./servers.ts";
import type { World } from "./world.ts";
import { hasFaketime, type SteppingClock, steppingClock } from "./wrong-clock.ts";

/* 24: edits by SQL while schedules fire, by editors whose clock is right, behind, or set back. */

type Edit = (editor: pg.Client, round: number) => Promise<unknown>;

scenario({
  name: "24 schedules edited by SQL within milliseconds of their instants",
  together: true,
  fault: (world) => editAround(world, 15, editPayload),
  seconds: 15,
});

/**
 * And schedules that could be brought back to what is over: of the last three hours, which were over when they were made.
 * They fire once, in the fifth second.
 */
const WITH_A_PAST: readonly Planned[] = [
  ...MIXED,
  { name: "hourly", count: 5, every: 3_600, since: 3 * 3_600 - 5, columns: { overlap: "allow", catchup: "all" } },
];
const BEHIND_MS = 2 * 3_600_000;

scenario({
  name: "24 edited within milliseconds of their instants by editors whose clock is two hours behind",
  together: true,
  plan: WITH_A_PAST,
  async fault(world) {
    await editAround(world, 10, editBehind(world));
    await waitFor(async () => (await burstFired(world)) === 300, { timeoutMs: 30_000, describe: "the burst to fire" });
    // What has run is given an instant that lies in the past and seems near to the editor.
    await world.rows("UPDATE schedules SET run_at = $1 WHERE name LIKE 'burst%'", [slowNow(world.start)]);
    await editAround(world, 15, editBehind(world));
  },
  seconds: 15,
  check: everyEditCounted,
});

if (hasFaketime) {
  const clock = steppingClock();
  scenario({
    name: "24 edited within milliseconds of their instants while the database's clock is set back, alone and by a failover",
    plan: WITH_A_PAST,
    servers: (shared) => byClock(shared, clock),
    async fault(world) {
      await editAround(world, 4, editTiming);
      clock.set("-3");
      await editAround(world, 9, editTiming);
      await world.servers.postgres!.kill();
      clock.set("-6");
      await world.servers.postgres!.start();
      await editAround(world, 15, editTiming);
      const [row] = await world.rows<{ now: number }>(
        "SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now",
      );
      if (Math.abs(Date.now() - row!.now - 6_000) > 1_000) throw new Error("the database's clock is not behind");
    },
    seconds: 15,
    check: everyEditCounted,
  });
}

/** From 8 ms before to 8 ms after. */
const offset = (round: number) => (round % 17) - 8;

/** Until so many seconds after the first instant, around each half second: half of them are instants. */
async function editAround(world: World, until: number, edit: Edit): Promise<void> {
  const editor = new pg.Client({ connectionString: world.databaseUrl, application_name: "rig, editing" });
  await editor.connect();
  for (let round = 0; Date.now() < world.start + until * 1_000; round++) {
    const next = Math.ceil((Date.now() + 20) / 500) * 500 + offset(round);
    await sleep(next - Date.now());
    await edit(editor, round);
  }
  await editor.end();
}

const editPayload: Edit = (editor, round) =>
  editor.query("UPDATE schedules SET payload = jsonb_build_object('edit', $1::int) WHERE name LIKE 'steady%'", [round]);

// Timing is edited without an instant moving: dst_gap says nothing about intervals.
const EDIT_TIMING = `
  UPDATE schedules SET dst_gap = CASE dst_gap WHEN 'skip' THEN 'next_valid' ELSE 'skip' END, payload = payload || '{"edited": true}'
  WHERE name NOT LIKE 'burst%'`;
const editTiming: Edit = (editor) => editor.query(EDIT_TIMING);

/** What has just been edited is edited again by a session that lives in the past, or with values computed there. */
const editBehind =
  ({ start }: World): Edit =>
  async (editor, round) => {
    // Only after an instant: of two edits by a right clock with an instant in between, the second one ends what the first
    // one had planned before it was, as docs/sql.md says.
    if (offset(round) >= 0) await editTiming(editor, round);
    const values = [slowNow(start)];
    if (round % 3 === 0) {
      const anchored = "UPDATE schedules SET interval_anchor = $1, starts_at = $1 WHERE name ~ '^(steady|capped)'";
      await editor.query(anchored, values);
    } else if (round % 3 === 1) {
      await editor.query("UPDATE schedules SET plan_from = $1 WHERE name ~ '^(exclusive|fleet)'", values);
    } else {
      await editor.query("SELECT set_config('pocketwatch.now', $1, false)", values);
      await editTiming(editor, round);
      await editor.query("RESET pocketwatch.now");
    }
  };

/** What the editor's clock shows, in whole steps of 2 s from `start`, so that every grid stays where it is. */
function slowNow(start: number): string {
  return new Date(start + Math.floor((Date.now() - BEHIND_MS - start) / 2_000) * 2_000).toISOString();
}

async function burstFired(world: World): Promise<number> {
  const [row] = await world.rows<{ n: number }>(
    "SELECT count(*)::int AS n FROM runs WHERE schedule_name LIKE 'burst%'",
  );
  return row!.n;
}

async function everyEditCounted(world: World): Promise<void> {
  const [row] = await world.rows<{ least: number }>(
    "SELECT min(revision)::int AS least FROM schedules WHERE name NOT LIKE 'burst%'",
  );
  if (row!.least < 20) throw new Error(`a schedule was edited only ${row!.least} times`);
}

/** A Postgres of its own that goes by this clock. */
async function byClock(shared: Servers, clock: SteppingClock): Promise<Servers> {
  const home = await mkdtemp(join(tmpdir(), "pocketwatch-by-clock-"));
  await chmod(home, 0o755);
  const directory = join(home, "postgres");
  const { environment } = clock;
  const postgres = await startPostgres({ directory, environment, settings: { fsync: "off" }, disposable: true });
  return {
    ...shared,
    postgres,
    async createDatabase() {
      await migrate(postgres.url);
      return {
        url: postgres.url,
        async drop() {
          await postgres.remove();
          await rm(home, { recursive: true, force: true });
        },
      };
    },
  };
}
