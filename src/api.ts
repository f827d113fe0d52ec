import { backfill } from "./commands/backfill.ts";
import { bulk } from "./commands/bulk.ts";
import { cancelRun, cancelScheduleRuns } from "./commands/cancel-run.ts";
import { createSchedule, createSchedules } from "./commands/create-schedule.ts";
import { deleteSchedule } from "./commands/delete-schedule.ts";
import { drainScheduler } from "./commands/drain-scheduler.ts";
import { scheduleId, viewNamedSchedule } from "./commands/find-schedule.ts";
import { fireTriggers } from "./commands/fire-triggers.ts";
import { pauseSchedule } from "./commands/pause-schedule.ts";
import { previewSchedule, upcoming } from "./commands/preview-schedule.ts";
import { requestReload } from "./commands/reload.ts";
import { resetBreaker } from "./commands/reset-breaker.ts";
import { resumeSchedule } from "./commands/resume-schedule.ts";
import { retryRun } from "./commands/retry-run.ts";
import { runAction } from "./commands/run-action.ts";
import { drainPool, setPool } from "./commands/set-pool.ts";
import { skipNext } from "./commands/skip-next.ts";
import { triggerSchedule } from "./commands/trigger-schedule.ts";
import { replaceSchedule, updateSchedule } from "./commands/update-schedule.ts";
import { listBreakers } from "./database/breaker-queries.ts";
import { asAnswer } from "./database/failures.ts";
import { listPools, viewPool } from "./database/pool-queries.ts";
import { listRuns } from "./database/run-lists.ts";
import { childStatusCounts, endedAttempts, viewRun } from "./database/run-queries.ts";
import { listSchedules, listTriggered } from "./database/schedule-queries.ts";
import type { Deps } from "./deps.ts";
import { createGauges } from "./gauges.ts";
import type { Api } from "./http/api.ts";
import { type LocalPart, localApi } from "./local-api.ts";
import { createRunFeed } from "./run-feed.ts";
import { NotFound } from "./schedule/errors.ts";

export type { LocalPart } from "./local-api.ts";

/**
 * Binds what the HTTP server asks for to commands and queries.
 * @param local what only the running instance knows; absent where there is none (tests of the API alone)
 */
export function createApi(deps: Deps, local: Partial<LocalPart> = {}): Api {
  const { database } = deps;
  return guarded({
    createSchedule: (...asked) => createSchedule(deps, ...asked),
    createSchedules: (...asked) => createSchedules(deps, ...asked),
    listSchedules: (filter, page) => database.transaction((tx) => listSchedules(tx, filter, page)),
    getSchedule: (idOrName) => database.transaction((tx) => viewNamedSchedule(tx, idOrName)),
    updateSchedule: (...asked) => updateSchedule(deps, ...asked),
    replaceSchedule: (...asked) => replaceSchedule(deps, ...asked),
    deleteSchedule: (...asked) => deleteSchedule(deps, ...asked),
    triggerSchedule: (...asked) => triggerSchedule(deps, ...asked),

    pauseSchedule: (...asked) => pauseSchedule(deps, ...asked),
    resumeSchedule: (...asked) => resumeSchedule(deps, ...asked),
    cancelScheduleRuns: (...asked) => cancelScheduleRuns(deps, ...asked),
    skipNext: (...asked) => skipNext(deps, ...asked),
    backfill: (...asked) => backfill(deps, ...asked),
    upcoming: (...asked) => upcoming(deps, ...asked),
    previewSchedule: (...asked) => previewSchedule(deps, ...asked),
    bulk: (...asked) => bulk(deps, ...asked),

    runAction: (...asked) => runAction(deps, ...asked),
    listRuns: ({ schedule, ...filter }, page) =>
      database.transaction(async (tx) => {
        const schedule_id = schedule === undefined ? undefined : await scheduleId(tx, schedule);
        return listRuns(tx, { ...filter, schedule_id }, page);
      }),
    getRun: (id) =>
      database.transaction(async (tx) => {
        const run = await viewRun(tx, id);
        if (run === undefined) throw noRun(id);
        return { run, attempts: run.attempt > 1 ? await endedAttempts(tx, id) : [] };
      }),
    cancelRun: (...asked) => cancelRun(deps, ...asked),
    retryRun: (...asked) => retryRun(deps, ...asked),
    listChildren: (id, filter, page) =>
      database.transaction((tx) => listRuns(tx, { ...filter, parent_run_id: id }, page)),
    countChildren: (id) =>
      database.transaction(async (tx) => {
        const run = await viewRun(tx, id);
        if (run === undefined) throw noRun(id);
        return { total: run.child_total ?? 0, by_status: await childStatusCounts(tx, id) };
      }),

    followRuns: createRunFeed(deps),

    listPools: (after, limit) => database.transaction((tx) => listPools(tx, after, limit)),
    getPool: async (name) => {
      const pool = await database.transaction((tx) => viewPool(tx, name));
      if (pool === undefined) throw new NotFound(`there is no pool ${JSON.stringify(name)}`);
      return pool;
    },
    setPool: (...asked) => setPool(deps, ...asked),
    drainPool: (...asked) => drainPool(deps, ...asked),
    listBreakers: (...asked) => database.transaction((tx) => listBreakers(tx, ...asked)),
    resetBreaker: (...asked) => resetBreaker(deps, ...asked),

    fireWebhook: (name, signal, key, actor) => fireTriggers(deps, { kind: "webhook", name, ...signal }, key, actor),
    listTriggered: (...asked) => database.transaction((tx) => listTriggered(tx, ...asked)),

    requestReload: (...asked) => requestReload(deps, ...asked),
    drainScheduler: (...asked) => drainScheduler(deps, ...asked),
    ...localApi(deps, local),
    measure: createGauges(deps, local.queueDepths),
  });
}

function noRun(id: string): NotFound {
  return new NotFound(`there is no run ${id}`);
}

/** Errors of the database leave as what they mean to whoever asked. */
function guarded(api: Api): Api {
  const wrapped = Object.entries(api).map(([name, ask]) => [
    name,
    async (...asked: unknown[]) => {
      try {
        return await (ask as (...asked: unknown[]) => Promise<unknown>)(...asked);
      } catch (error) {
        throw asAnswer(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as Api;
}
