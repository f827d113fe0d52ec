import { countCreated } from "../counted.ts";
import { isDataError, type Tx } from "../database/connection.ts";
import { inWords, lockSchedulesToPlan, storable } from "../database/planning.ts";
import {
  type Answer,
  anyOpenRequests,
  claimOpenRequests,
  type OpenRequest,
  answerRequests as writeAnswers,
} from "../database/requests.ts";
import { insertScheduleRun, lockSchedule } from "../database/schedule-runs.ts";
import type { RunRow, ScheduleRow } from "../database/schema.ts";
import type { Deps } from "../deps.ts";
import type { PassResult } from "../runtime/loop.ts";
import { planLocked } from "./plan.ts";
import { releaseWaiting } from "./release.ts";

const BATCH = 100;
/** Requests whose schedule somebody holds locked are looked at again after so many ms; nothing says when it is let go. */
const LOCKED_MS = 250;

export interface AnswerRequestsResult extends PassResult {
  readonly answered: number;
  readonly refused: number;
}

interface Answered extends Answer {
  readonly run: RunRow | null;
}

/**
 * Carries out triggers that were asked for with SQL. A request and the run it becomes commit together, so it is carried out
 * once, however many instances there are; one that cannot be is refused in words, and the others go on.
 */
export async function answerRequests(deps: Deps, batch = BATCH): Promise<AnswerRequestsResult> {
  const { answers, told, left } = await deps.database.transaction(async (tx) => {
    const requests = await claimOpenRequests(tx, batch);
    if (requests.length === 0) return { answers: [], told: false, left: await anyOpenRequests(tx) };
    const ids = [...new Set(requests.flatMap((request) => request.schedule_id ?? []))];
    const planning = await planLocked(deps, tx, await lockSchedulesToPlan(tx, ids));
    const done: Answered[] = [];
    for (const request of requests) done.push(await answer(deps, tx, request));
    await writeAnswers(tx, done);
    return { answers: done, told: planning.told, left: await anyOpenRequests(tx) };
  });
  const runs = answers.flatMap(({ run }) => run ?? []);
  await follow(deps, runs);
  if (told) deps.wake("relay");
  return {
    answered: runs.length,
    refused: answers.length - runs.length,
    full: answers.length === batch,
    next_in_ms: left ? LOCKED_MS : null,
  };
}

async function answer(deps: Deps, tx: Tx, request: OpenRequest): Promise<Answered> {
  const refused = (problem: string) => ({ id: request.id, run_id: null, run: null, problem: storable(problem) });
  await tx.query("SAVEPOINT request");
  try {
    const outcome = await execute(deps, tx, request);
    await tx.query("RELEASE SAVEPOINT request");
    if (typeof outcome === "string") return refused(outcome);
    return { id: request.id, run_id: outcome.id, run: outcome, problem: null };
  } catch (error) {
    if (!isDataError(error)) throw error;
    await tx.query("ROLLBACK TO SAVEPOINT request");
    deps.logger.warn({ err: error, request: request.id }, "a request cannot be carried out");
    return refused(`it cannot be carried out: ${(error as Error).message}`);
  }
}

/** The run, or why there is none. */
async function execute(deps: Deps, tx: Tx, request: OpenRequest): Promise<RunRow | string> {
  if (request.schedule_name === null) return "schedule_name: is missing";
  const schedule = request.schedule_id === null ? undefined : await lockSchedule(tx, request.schedule_id);
  if (schedule === undefined) return `there is no schedule ${JSON.stringify(request.schedule_name)}`;
  if (schedule.resolved === null) return `the schedule cannot be used: ${schedule.problem ?? "it has no plan"}`;
  const { payload_text } = request;
  const payload: unknown = payload_text === null ? undefined : JSON.parse(payload_text);
  const problem = payload === undefined ? null : payloadProblem(deps, schedule, payload);
  if (problem !== null) return problem;
  const run = await insertScheduleRun(tx, schedule.id, {
    trigger_type: "manual",
    triggered_by: request.requested_by,
    ...(payload_text === null ? {} : { payload, payload_text }),
  });
  return run ?? "the schedule has no plan";
}

function payloadProblem(deps: Deps, schedule: ScheduleRow, payload: unknown): string | null {
  try {
    const action = deps.actions().find(schedule.action, schedule.action_version);
    return inWords(action?.validatePayload(payload) ?? []);
  } catch (error) {
    return `payload: cannot be checked: ${(error as Error).message}`;
  }
}

async function follow(deps: Deps, runs: readonly RunRow[]): Promise<void> {
  countCreated(deps, runs);
  const having = (status: string) => runs.filter((run) => run.status === status);
  const pending = having("pending");
  if (pending.some((run) => run.child_total === null)) deps.wake("dispatch");
  if (pending.some((run) => run.child_total !== null)) deps.wake("expand");
  // Skipped, which somebody may have to be told.
  if (having("skipped").length > 0) deps.wake("relay");
  // What they wait for may have ended meanwhile, or is to be cancelled in their favour.
  await releaseWaiting(
    deps,
    having("waiting").flatMap((run) => run.schedule_id ?? []),
  );
}
