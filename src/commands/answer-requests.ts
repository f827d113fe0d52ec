import type { Tx } from "../database/connection.ts";
import { sqlState } from "../database/connection.ts";
import { claimPendingRequest, type PendingRequest, settleRequest } from "../database/requests.ts";
import type { RunRow } from "../database/schema.ts";
import type { Deps } from "../deps.ts";
import { Conflict, InvalidInput, NotFound } from "../schedule/errors.ts";
import { followRun, trigger } from "./trigger-schedule.ts";

export interface AnswerResult {
  readonly answered: number;
  readonly refused: number;
  readonly full: boolean;
  readonly next_in_ms: null;
}

const BATCH = 100;

/**
 * Carries out what administrators asked for by SQL (`pocketwatch_trigger`): a row in `requests` becomes a run, or is refused
 * with the reason, which they read in the same row. One transaction each, so that one cannot hold up another.
 */
export async function answerRequests(deps: Deps, batch = BATCH): Promise<AnswerResult> {
  const done = { answered: 0, refused: 0 };
  for (let count = 0; count < batch; count += 1) {
    const outcome = await answerOne(deps);
    if (outcome === null) return { ...done, full: false, next_in_ms: null };
    done[outcome] += 1;
  }
  return { ...done, full: true, next_in_ms: null };
}

async function answerOne(deps: Deps): Promise<"answered" | "refused" | null> {
  const answer = await deps.database.transaction(async (tx) => {
    const request = await claimPendingRequest(tx);
    if (request === undefined) return null;
    await tx.query("SAVEPOINT request");
    try {
      const run = await carryOut(deps, tx, request);
      await settleRequest(tx, request.id, { run_id: run.id, problem: null });
      return { run };
    } catch (error) {
      if (!isFinal(error)) throw error;
      await tx.query("ROLLBACK TO SAVEPOINT request");
      await settleRequest(tx, request.id, { run_id: null, problem: (error as Error).message });
      return { run: null };
    }
  });
  if (answer === null) return null;
  if (answer.run === null) return "refused";
  followRun(deps, answer.run);
  return "answered";
}

function carryOut(deps: Deps, tx: Tx, request: PendingRequest): Promise<RunRow> {
  if (request.schedule_name === null) throw new InvalidInput([{ field: "schedule_name", message: "is required" }]);
  return trigger(deps, tx, request.schedule_name, {
    trigger_type: "manual",
    triggered_by: request.requested_by,
    payload: request.payload === null ? undefined : request.payload,
  });
}

/** The request is at fault, not the database: SQLSTATE class 22 is a value that cannot be stored. */
function isFinal(error: unknown): boolean {
  const refused = error instanceof InvalidInput || error instanceof NotFound || error instanceof Conflict;
  return refused || (sqlState(error)?.startsWith("22") ?? false);
}
