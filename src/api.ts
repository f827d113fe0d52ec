import { createSchedule, createSchedules } from "./commands/create-schedule.ts";
import { deleteSchedule } from "./commands/delete-schedule.ts";
import { scheduleId, viewNamedSchedule } from "./commands/find-schedule.ts";
import { runAction } from "./commands/run-action.ts";
import { triggerSchedule } from "./commands/trigger-schedule.ts";
import { replaceSchedule, updateSchedule } from "./commands/update-schedule.ts";
import { asAnswer } from "./database/failures.ts";
import { endedAttempts, listRuns, viewRun } from "./database/run-queries.ts";
import { listSchedules } from "./database/schedule-queries.ts";
import type { Deps } from "./deps.ts";
import type { Api } from "./http/api.ts";
import { NotFound } from "./schedule/errors.ts";

/** Binds what the HTTP server asks for to commands and queries. */
export function createApi(deps: Deps): Api {
  const { database } = deps;
  return guarded({
    createSchedule: (input, actor) => createSchedule(deps, input, actor),
    createSchedules: (inputs, actor) => createSchedules(deps, inputs, actor),
    listSchedules: (filter, page) => database.transaction((tx) => listSchedules(tx, filter, page)),
    getSchedule: (idOrName) => database.transaction((tx) => viewNamedSchedule(tx, idOrName)),
    updateSchedule: (...asked) => updateSchedule(deps, ...asked),
    replaceSchedule: (...asked) => replaceSchedule(deps, ...asked),
    deleteSchedule: (...asked) => deleteSchedule(deps, ...asked),
    triggerSchedule: (...asked) => triggerSchedule(deps, ...asked),

    runAction: (...asked) => runAction(deps, ...asked),
    listRuns: ({ schedule, ...filter }, page) =>
      database.transaction(async (tx) => {
        const schedule_id = schedule === undefined ? undefined : await scheduleId(tx, schedule);
        return listRuns(tx, { ...filter, schedule_id }, page);
      }),
    getRun: (id) =>
      database.transaction(async (tx) => {
        const run = await viewRun(tx, id);
        if (run === undefined) throw new NotFound(`there is no run ${id}`);
        return { run, attempts: run.attempt > 1 ? await endedAttempts(tx, id) : [] };
      }),
  });
}

/** Errors of the database leave as what they mean to whoever asked. */
function guarded(api: Api): Api {
  const wrapped = Object.entries(api).map(([name, ask]) => [
    name,
    async (...asked: unknown[]) => {
      try {
        return await ask(...asked);
      } catch (error) {
        throw asAnswer(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as Api;
}
