import type { Statement, Tx } from "./connection.ts";

/** Who asked, and the name they gave the request: asking again under it gives the same run. */
export interface RequestKey {
  readonly source: string;
  readonly key: string;
}

// A second request under the same key waits here for the first one's transaction: it inserts if that was rolled back,
// and otherwise finds the row. Looking first would let both through.
const CLAIM: Statement = {
  name: "claim_request",
  text: `
    INSERT INTO requests (source, key, schedule_name, payload, requested_by, status, created_at, answered_at)
    VALUES ($1, $2, $3, $4::jsonb, $5, 'done', pocketwatch_now(), pocketwatch_now())
    ON CONFLICT ON CONSTRAINT requests_source_key DO NOTHING
    RETURNING id`,
};
const FIND: Statement = {
  name: "find_request",
  text: `
    SELECT run_id, payload IS NOT DISTINCT FROM $3::jsonb AS same FROM requests WHERE source = $1 AND key = $2`,
};
const ANSWER: Statement = { name: "answer_request", text: "UPDATE requests SET run_id = $2 WHERE id = $1" };

export type ClaimedRequest =
  | { readonly id: string; readonly repeated: null }
  /** `same`: it asked for the same thing. */
  | { readonly id: null; readonly repeated: { readonly run_id: string | null; readonly same: boolean } };

/**
 * Takes a key, or finds what it was used for. `asked` is what the request asks for, as JSON: it is how another request
 * under the same key is told from the same one.
 */
export async function claimRequest(
  tx: Tx,
  { source, key }: RequestKey,
  scheduleName: string | null,
  asked: unknown,
  requestedBy: string,
): Promise<ClaimedRequest> {
  const text = JSON.stringify(asked);
  for (;;) {
    const [claimed] = await tx.query<{ id: string }>(CLAIM, [source, key, scheduleName, text, requestedBy]);
    if (claimed !== undefined) return { id: claimed.id, repeated: null };
    const [found] = await tx.query<{ run_id: string | null; same: boolean }>(FIND, [source, key, text]);
    // Not found: retention forgot it between the two statements.
    if (found !== undefined) return { id: null, repeated: found };
  }
}

/** Notes which run a claimed request became. */
export async function answerRequest(tx: Tx, id: string, runId: string): Promise<void> {
  await tx.query(ANSWER, [id, runId]);
}

const IS_ANSWERED: Statement = {
  name: "is_request_answered",
  text: "SELECT EXISTS (SELECT FROM requests WHERE source = $1 AND key = $2) AS answered",
};

/** Whether a request under this key has been carried out; for requests that it does no harm to carry out twice. */
export async function isAnswered(tx: Tx, { source, key }: RequestKey): Promise<boolean> {
  const [row] = await tx.query<{ answered: boolean }>(IS_ANSWERED, [source, key]);
  return row!.answered;
}

/** A trigger that somebody asked for with SQL, and nobody has answered; its schedule, where there is one, is locked. */
export interface OpenRequest {
  readonly id: string;
  readonly schedule_name: string | null;
  readonly schedule_id: string | null;
  readonly requested_by: string;
  /** null: the schedule's own payload is wanted. */
  readonly payload_text: string | null;
}

// Nobody is waited for: a request that another instance answers, or whose schedule somebody is just writing, is passed by
// and found again. So requests may be answered in any order without a deadlock, and a schedule that an editor keeps locked
// holds up nobody else's requests.
const CLAIM_OPEN: Statement = {
  name: "claim_open_requests",
  text: `
    SELECT r.id, r.schedule_name, s.id AS schedule_id, r.requested_by, r.payload::text AS payload_text
    FROM requests r LEFT JOIN LATERAL (
      SELECT id FROM schedules WHERE name = r.schedule_name FOR NO KEY UPDATE SKIP LOCKED) AS s ON true
    WHERE r.status = 'pending'
      AND (s.id IS NOT NULL OR NOT EXISTS (SELECT FROM schedules o WHERE o.name = r.schedule_name))
    ORDER BY r.id LIMIT $1
    FOR UPDATE OF r SKIP LOCKED`,
};
const ANY_OPEN: Statement = {
  name: "any_open_requests",
  text: "SELECT EXISTS (SELECT FROM requests WHERE status = 'pending') AS open",
};

export function claimOpenRequests(tx: Tx, limit: number): Promise<OpenRequest[]> {
  return tx.query<OpenRequest>(CLAIM_OPEN, [limit]);
}

/** Whether there is something left to answer that was passed by. */
export async function anyOpenRequests(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ open: boolean }>(ANY_OPEN);
  return row!.open;
}

export interface Answer {
  readonly id: string;
  readonly run_id: string | null;
  /** Why it is refused; null: it is done. */
  readonly problem: string | null;
}

const ANSWER_OPEN: Statement = {
  name: "answer_open_requests",
  text: `
    UPDATE requests r SET status = CASE WHEN a.problem IS NULL THEN 'done' ELSE 'refused' END, run_id = a.run_id,
      problem = a.problem, answered_at = pocketwatch_now()
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS a (id, run_id, problem)
    WHERE r.id = a.id`,
};

export async function answerRequests(tx: Tx, answers: readonly Answer[]): Promise<void> {
  await tx.query(ANSWER_OPEN, [
    answers.map((answer) => answer.id),
    answers.map((answer) => answer.run_id),
    answers.map((answer) => answer.problem),
  ]);
}
