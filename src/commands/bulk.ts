import type { Tx } from "../database/connection.ts";
import { unfinishedRuns } from "../database/run-queries.ts";
import { matchSchedules } from "../database/schedule-queries.ts";
import { requestCancel } from "../database/waiting-runs.ts";
import type { Deps } from "../deps.ts";
import { Conflict, InvalidInput, NotFound } from "../schedule/errors.ts";
import type { Instant } from "../schedule/instant.ts";
import { pause } from "./pause-schedule.ts";
import { resume } from "./resume-schedule.ts";
import { followRun, trigger } from "./trigger-schedule.ts";

/** What is done to each of the schedules that carry the labels. */
export type BulkAction =
  | { readonly kind: "pause"; readonly until: Instant | null; readonly note: string | null }
  | { readonly kind: "resume"; readonly catch_up: boolean }
  | { readonly kind: "trigger" }
  | { readonly kind: "cancel" };

export interface BulkItem {
  readonly schedule_id: string;
  readonly name: string;
  /** For trigger: the run. */
  readonly run_id: string | null;
  /** For cancel: how many runs. */
  readonly cancelling: number | null;
  /** Why nothing was done. */
  readonly problem: string | null;
}

const MOST_SCHEDULES = 10_000;
/** Schedules locked by one transaction, in id order. */
const CHUNK = 100;

/**
 * Does the same to every schedule with these labels, a chunk after the other. A schedule that it cannot be done to is named
 * with the reason, and does not stop the others.
 * @throws InvalidInput where no label is named, or too many schedules carry them
 */
export async function bulk(
  deps: Deps,
  labels: Readonly<Record<string, string>>,
  action: BulkAction,
  dryRun: boolean,
  actor: string,
): Promise<BulkItem[]> {
  if (Object.keys(labels).length === 0) {
    throw new InvalidInput([{ field: "labels", message: "must name a label: none would mean every schedule" }]);
  }
  const matched = await deps.database.transaction((tx) => matchSchedules(tx, { labels }, MOST_SCHEDULES + 1));
  if (matched.length > MOST_SCHEDULES) {
    throw new InvalidInput([{ field: "labels", message: `more than ${MOST_SCHEDULES} schedules carry these labels` }]);
  }
  const nothing = { run_id: null, cancelling: null, problem: null };
  if (dryRun) return matched.map(({ id, name }) => ({ schedule_id: id, name, ...nothing }));

  const items: BulkItem[] = [];
  for (let from = 0; from < matched.length; from += CHUNK) {
    const chunk = matched.slice(from, from + CHUNK);
    const afterCommit: (() => void)[] = [];
    const done = await deps.database.transaction(
      async (tx) => {
        const results: BulkItem[] = [];
        for (const { id, name } of chunk) {
          await tx.query("SAVEPOINT schedule");
          const outcome = await act(deps, tx, id, action, actor, afterCommit).catch(toProblem);
          if (outcome.problem != null) await tx.query("ROLLBACK TO SAVEPOINT schedule");
          results.push({ schedule_id: id, name, ...nothing, ...outcome });
        }
        return results;
      },
      { actor },
    );
    items.push(...done);
    for (const follow of afterCommit) follow();
    for (const pass of WAKES[action.kind]) deps.wake(pass);
  }
  return items;
}

const WAKES = { pause: ["relay"], resume: ["fire"], trigger: [], cancel: ["supervise"] } as const;

async function act(
  deps: Deps,
  tx: Tx,
  id: string,
  action: BulkAction,
  actor: string,
  afterCommit: (() => void)[],
): Promise<Partial<BulkItem>> {
  switch (action.kind) {
    case "pause":
      await pause(deps, tx, id, action, null);
      return {};
    case "resume":
      await resume(deps, tx, id, action.catch_up, null);
      return {};
    case "trigger": {
      const run = await trigger(deps, tx, id, { trigger_type: "manual", triggered_by: actor });
      afterCommit.push(() => followRun(deps, run));
      return { run_id: run.id };
    }
    case "cancel":
      return { cancelling: (await requestCancel(tx, await unfinishedRuns(tx, id), "requested")).length };
  }
}

function toProblem(error: unknown): Partial<BulkItem> {
  if (error instanceof Conflict || error instanceof NotFound || error instanceof InvalidInput) {
    return { problem: error.message };
  }
  throw error;
}
