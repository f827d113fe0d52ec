import type { Tx } from "../../src/database/connection.ts";
import { deleteOldRuns, trimSchedules } from "../../src/database/retention.ts";
import type { RunFilter } from "../../src/database/run-filter.ts";
import { listRuns } from "../../src/database/run-lists.ts";
import { listSchedules } from "../../src/database/schedule-queries.ts";
import { statistics } from "../../src/database/statistics.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { fire } from "../../src/passes/fire.ts";
import { fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { supervise } from "../../src/passes/supervise.ts";
import { MAKE_DUE, scheduleId } from "./databases.ts";
import { SCHEDULES } from "./history.ts";
import { AHEAD_MS, allFired, lookedAhead, milliseconds, openPasses, type Passes } from "./passes.ts";
import { statusDelivery } from "./status-delivery.ts";

const DUE = 1_000;
/** Of the inbox (inboxes.ts). */
const STATUS_BATCH = 500;
const DAY_MS = 86_400_000;

export interface Compared {
  readonly figure: string;
  /** ms, with the history. */
  readonly rounds: readonly number[];
  /** ms, without it. */
  readonly floor: readonly number[];
}

/** Does the same work in both databases, in alternation. */
export async function compared(full: string, few: string, warm_up: number, rounds: number): Promise<Compared[]> {
  const both = await Promise.all(
    [full, few].map(async (url) => ({ passes: await openPasses(url), times: new Map<string, number[]>() })),
  );
  for (let round = -warm_up; round < rounds; round += 1) {
    for (const { passes, times } of both) {
      for await (const [name, ms] of oneRound(passes, round + warm_up)) {
        if (round >= 0) times.set(name, [...(times.get(name) ?? []), ms]);
      }
    }
  }
  for (const { passes } of both) await passes.close();
  const [long, short] = both;
  return [...long!.times].map(([figure, ms]) => ({ figure, rounds: ms, floor: short!.times.get(figure)! }));
}

/** A thousand runs through their lives, then a look at everything. */
async function* oneRound(passes: Passes, round: number): AsyncGenerator<[string, number]> {
  const { deps } = passes;
  const timed = async (name: string, work: () => Promise<unknown>): Promise<[string, number]> => [
    name,
    await milliseconds(work),
  ];
  // Those that fire again and again between two checkpoints, and those that do so less often than there are checkpoints: the
  // first run of each after one makes Postgres log a page of runs_schedule.
  for (const [which, first] of [
    ["the same ones each time", 0],
    ["others each time", round * 7_919 + 50],
  ] as const) {
    await endAll(passes);
    await makeDue(passes, first, AHEAD_MS);
    const outlook = await lookedAhead(deps);
    yield await timed(`fire, 1,000 due, foreseen, ${which}`, () => allFired(fireOnTime(deps, outlook, DUE), DUE));
    await endAll(passes);
    await makeDue(passes, first + 7, 0);
    yield await timed(`fire, 1,000 due, claimed, ${which}`, () => allFired(fire(deps, DUE), DUE));
  }
  const ids = await dispatchedRuns(passes);
  for (const status of ["started", "completed"]) {
    yield await timed(`ingest, 1,000 ${status}`, async () => {
      for (let from = 0; from < ids.length; from += STATUS_BATCH) {
        await ingest(
          deps,
          ids.slice(from, from + STATUS_BATCH).map((id) => statusDelivery(id, status)),
        );
      }
    });
  }
  await insertPending(passes);
  yield await timed("dispatch, 1,000 pending", async () => {
    const { dispatched, published } = await dispatch(deps);
    await published;
    if (dispatched !== DUE) throw new Error(`${dispatched} of ${DUE} runs were dispatched`);
  });
  const report = { id: "bench", version: "bench", broker: "ready", passes: {} };
  yield await timed("supervise", () => supervise(deps, report));
  for (const [name, look] of Object.entries(LOOKS)) {
    yield await timed(name, () => passes.database.transaction(look));
  }
}

const runs = (filter: RunFilter) => (tx: Tx) => listRuns(tx, filter, { before: null, limit: 50 });
const ago = (days: number) => Date.now() - days * DAY_MS;
/** The first one has a history in both databases. */
const ONE = scheduleId(0);

const LOOKS: Readonly<Record<string, (tx: Tx) => Promise<unknown>>> = {
  "list of runs": runs({}),
  "list of one schedule's runs": runs({ schedule_id: ONE }),
  "list of failed runs": runs({ status: ["failed"] }),
  "list of dispatched runs": runs({ status: ["dispatched"] }),
  "list of runs by label": runs({ labels: { team: "a" } }),
  "list of a day's runs": runs({ from: ago(5), to: ago(4) }),
  "list of schedules": (tx) => listSchedules(tx, {}, { after: null, limit: 50 }),
  "statistics of one schedule's week": (tx) => statistics(tx, ONE, { from: ago(7), to: ago(0) }),
  "retention with nothing to do": async (tx) => {
    if ((await deleteOldRuns(tx, 60, 2_000)) > 0) throw new Error("there was something to delete");
    await trimSchedules(tx, null, 1_000, 200, 500);
  },
};

async function endAll({ database }: Passes): Promise<void> {
  await database.transaction((tx) =>
    tx.query(
      "UPDATE runs SET status = 'completed', completed_at = now(), deadline_at = NULL WHERE deadline_at IS NOT NULL",
    ),
  );
}

/** A thousand of the schedules, spread over all. */
async function makeDue({ database }: Passes, first: number, in_ms: number): Promise<void> {
  const ids = Array.from({ length: DUE }, (_, index) => scheduleId((index * 97 + first) % SCHEDULES));
  await database.query(MAKE_DUE, [ids, in_ms]);
}

async function dispatchedRuns({ database }: Passes): Promise<string[]> {
  const rows = await database.transaction((tx) =>
    tx.query<{ id: string }>("SELECT id FROM runs WHERE status = 'dispatched' AND deadline_at IS NOT NULL"),
  );
  return rows.map((row) => row.id);
}

async function insertPending({ database }: Passes): Promise<void> {
  await database.transaction((tx) =>
    tx.query(
      `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, policy, deadline_at)
       SELECT 'scout.trigger', 1, 'manual', now(), s.resolved, now() + interval '1 day'
       FROM (SELECT resolved FROM schedules LIMIT 1) AS s, generate_series(1, $1::int)`,
      [DUE],
    ),
  );
}
