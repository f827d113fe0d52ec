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
