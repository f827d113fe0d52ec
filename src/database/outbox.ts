import type { Statement, Tx } from "./connection.ts";

/** A message to be sent because something was committed: it is written in the same transaction, and relayed after. */
export interface OutboxMessage {
  /** Which of the service's exchanges, without the prefix. */
  readonly exchange: "events" | "control" | "commands";
  /** Routing key and CloudEvents type. */
  readonly type: string;
  readonly subject: string | null;
  readonly data: unknown;
  readonly traceparent?: string | null;
  /** The CloudEvents id, where the sender has to know it; absent: a fresh one. */
  readonly message_id?: string;
}

export interface StoredMessage extends OutboxMessage {
  readonly id: number;
  readonly message_id: string;
  readonly created_at: number;
}

const EMIT: Statement = {
  name: "emit",
  text: `
    INSERT INTO outbox (exchange, routing_key, message_id, subject, data, traceparent, created_at)
    SELECT m.exchange, m.type, coalesce(m.message_id, gen_random_uuid()), m.subject, m.data, m.traceparent,
      pocketwatch_now()
    FROM jsonb_to_recordset($1::jsonb) AS m (exchange text, type text, message_id uuid, subject text, data jsonb,
      traceparent text)`,
};

/** Writes messages for the relay pass. The caller wakes it after its commit. */
export async function emit(tx: Tx, messages: readonly OutboxMessage[]): Promise<void> {
  if (messages.length > 0) await tx.query(EMIT, [JSON.stringify(messages)]);
}

// A lease per row, as for runs: no transaction is open while the broker is waited for, and what a crashed instance had
// claimed is sent again, with the same message id, once its lease has expired.
const CLAIM: Statement = {
  name: "claim_outbox",
  text: `
    UPDATE outbox o SET lease_until = pocketwatch_now() + interval '15 seconds'
    FROM (SELECT id FROM outbox WHERE lease_until IS NULL OR lease_until < pocketwatch_now()
          ORDER BY lease_until NULLS FIRST, id LIMIT $1 FOR UPDATE SKIP LOCKED) AS c
    WHERE o.id = c.id
    RETURNING o.id, o.exchange, o.routing_key AS type, o.message_id, o.subject, o.data, o.traceparent, o.created_at`,
};
const SENT: Statement = { name: "sent_outbox", text: "DELETE FROM outbox WHERE id = ANY($1::bigint[])" };

export async function claimMessages(tx: Tx, limit: number): Promise<StoredMessage[]> {
  const messages = await tx.query<StoredMessage>(CLAIM, [limit]);
  return messages.sort((a, b) => a.id - b.id);
}

const NEXT: Statement = {
  name: "next_outbox",
  text: `
    SELECT extract(epoch FROM min(lease_until) - pocketwatch_now())::double precision * 1000 AS next_in_ms
    FROM outbox WHERE lease_until IS NOT NULL`,
};

/** Milliseconds until a message that is claimed, by whomever, may be claimed again; null: none is. */
export async function nextMessageIn(tx: Tx): Promise<number | null> {
  const [row] = await tx.query<{ next_in_ms: number | null }>(NEXT);
  return row!.next_in_ms;
}

export async function deleteSent(tx: Tx, ids: readonly number[]): Promise<void> {
  if (ids.length > 0) await tx.query(SENT, [ids]);
}
