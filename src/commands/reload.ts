import { randomUUID } from "node:crypto";
import type { MessageData } from "../contracts/messages.ts";
import { emit } from "../database/outbox.ts";
import { markForPlanning } from "../database/planning.ts";
import { ensurePools } from "../database/pools.ts";
import { claimRequest, isAnswered } from "../database/requests.ts";
import { missingSchedules } from "../database/schedule-queries.ts";
import type { Deps } from "../deps.ts";

/** Schedules marked by one transaction: few enough that nobody who edits one waits for long. */
const BATCH = 1_000;
const FIRST = "00000000-0000-0000-0000-000000000000";
/** CloudEvents source of what the service itself sends. */
const OWN_SOURCE = "/pocketwatch";

export type Reloaded = MessageData<"schedules.reloaded.v1">;

/**
 * Asks every instance to read the contracts again and to validate all schedules anew, or these. This one does so at once
 * and answers what came of it; the others hear of it by message, as soon as the broker is there.
 */
export async function requestReload(
  deps: Deps,
  scheduleIds: readonly string[] | null,
  actor: string,
): Promise<Reloaded> {
  const message_id = randomUUID();
  const data: MessageData<"schedules.reload.v1"> = scheduleIds === null ? {} : { schedule_ids: [...scheduleIds] };
  const reloaded = await reload(deps, scheduleIds, { source: OWN_SOURCE, id: message_id }, actor);
  await deps.database.transaction(
    (tx) => emit(tx, [{ exchange: "commands", type: "schedules.reload.v1", subject: null, message_id, data }]),
    { actor },
  );
  deps.wake("relay");
  return reloaded!;
}

/**
 * Reads the contracts again, marks schedules to be validated and planned anew, and tells everybody what came of it.
 * @param command a command is carried out once per instance, so that this instance leaves alone what it asked itself
 * @returns null where this instance has carried out the command before
 */
export async function reload(
  deps: Deps,
  scheduleIds: readonly string[] | null,
  command: { readonly source: string; readonly id: string },
  actor: string,
): Promise<Reloaded | null> {
  const key = { source: command.source, key: `${command.id}@${deps.instance}` };
  if (await deps.database.transaction((tx) => isAnswered(tx, key))) return null;

  const problems = await readContracts(deps);
  const pools = deps
    .actions()
    .list()
    .flatMap((action) => action.pool ?? []);
  const missing = await deps.database.transaction(async (tx) => {
    await ensurePools(tx, pools);
    return scheduleIds === null ? [] : missingSchedules(tx, scheduleIds);
  });
  const answer: Reloaded = {
    instance: deps.instance,
    planned: await markAll(deps, scheduleIds),
    problems: [
      ...problems,
      ...missing.map((id) => ({ action: null, schedule_id: id, message: "there is no such schedule" })),
    ],
  };
  await deps.database.transaction(
    async (tx) => {
      await claimRequest(tx, key, null, { reload: scheduleIds }, actor);
      await emit(tx, [{ exchange: "events", type: "schedules.reloaded.v1", subject: null, data: answer }]);
    },
    { actor },
  );
  deps.wake("relay");
  return answer;
}

// A directory that cannot be read leaves the contracts as they are, which is a problem like any other of theirs.
async function readContracts(deps: Deps): Promise<Reloaded["problems"]> {
  try {
    const problems = await deps.reloadActions();
    return problems.map(({ action, message }) => ({ action, schedule_id: null, message }));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return [{ action: null, schedule_id: null, message: `the contracts cannot be read: ${message}` }];
  }
}

async function markAll(deps: Deps, only: readonly string[] | null): Promise<number> {
  let after = FIRST;
  let marked = 0;
  for (;;) {
    const ids = await deps.database.transaction((tx) => markForPlanning(tx, after, only, BATCH));
    marked += ids.length;
    if (ids.length > 0) deps.wake("plan");
    if (ids.length < BATCH) return marked;
    after = ids.at(-1)!;
  }
}
