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

/** Something an administrator asked for by SQL. */
export interface PendingRequest {
  readonly id: string;
  readonly schedule_name: string | null;
  readonly payload: unknown;
  readonly requested_by: string;
}

const CLAIM_PENDING: Statement = {
  name: "claim_pending_request",
  text: `
    SELECT id, schedule_name, payload, requested_by FROM requests
    WHERE status = 'pending' ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED`,
};

/** Locks the oldest request that nobody has answered. */
export async function claimPendingRequest(tx: Tx): Promise<PendingRequest | undefined> {
  const [request] = await tx.query<PendingRequest>(CLAIM_PENDING);
  return request;
}

const SETTLE: Statement = {
  name: "settle_request",
  text: `
    UPDATE requests SET status = CASE WHEN $3::text IS NULL THEN 'done' ELSE 'refused' END, run_id = $2, problem = $3,
      answered_at = pocketwatch_now()
    WHERE id = $1`,
};

/** Says in the row itself what became of a request. */
export async function settleRequest(
  tx: Tx,
  id: string,
  answer: { readonly run_id: string | null; readonly problem: string | null },
): Promise<void> {
  await tx.query(SETTLE, [id, answer.run_id, answer.problem]);
}

/** A trigger that somebody asked for with SQL; its schedule, where there is one, is locked. */
export interface SqlRequest {
  readonly id: string;
  readonly schedule_name: string | null;
  readonly schedule_id: string | null;
  readonly requested_by: string;
  /** null: the schedule's own payload is wanted. */
  readonly payload_text: string | null;
}

// Nobody is waited for: a request that another instance answers, or whose schedule somebody is just writing, is passed by
// and found again. So requests may be answered in any order without a deadlock, and a schedule that an editor keeps locked
// holds up nobody else's requests. The lock of a schedule is of another statement than the look at whether it exists:
// a name that is not found locked and does exist is one that somebody holds.
const CLAIM_SQL: Statement = {
  name: "claim_sql_requests",
  text: `
    SELECT r.id, r.schedule_name, s.id AS schedule_id, r.requested_by, r.payload::text AS payload_text
    FROM requests r LEFT JOIN LATERAL (
      SELECT id FROM schedules WHERE name = r.schedule_name FOR NO KEY UPDATE SKIP LOCKED) AS s ON true
    WHERE r.status = 'pending' AND r.source = 'sql'
      AND (s.id IS NOT NULL OR NOT EXISTS (SELECT FROM schedules o WHERE o.name = r.schedule_name))
    ORDER BY r.id LIMIT $1
    FOR UPDATE OF r SKIP LOCKED`,
};
const PENDING_SQL: Statement = {
  name: "pending_sql_requests",
  text: "SELECT EXISTS (SELECT FROM requests WHERE status = 'pending' AND source = 'sql') AS pending",
};

export function claimSqlRequests(tx: Tx, limit: number): Promise<SqlRequest[]> {
  return tx.query<SqlRequest>(CLAIM_SQL, [limit]);
}

export async function sqlRequestsPending(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ pending: boolean }>(PENDING_SQL);
  return row!.pending;
}

export interface SqlAnswer {
  readonly id: string;
  readonly run_id: string | null;
  /** Why it is refused; null: it is done. */
  readonly problem: string | null;
}

const ANSWER_SQL: Statement = {
  name: "answer_sql_requests",
  text: `
    UPDATE requests r SET status = CASE WHEN a.problem IS NULL THEN 'done' ELSE 'refused' END, run_id = a.run_id,
      problem = a.problem, answered_at = pocketwatch_now()
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS a (id, run_id, problem)
    WHERE r.id = a.id`,
};

export async function answerSqlRequests(tx: Tx, answers: readonly SqlAnswer[]): Promise<void> {
  await tx.query(ANSWER_SQL, [
    answers.map((answer) => answer.id),
    answers.map((answer) => answer.run_id),
    answers.map((answer) => answer.problem),
  ]);
}
