import type { MessageData, MessageType } from "../contracts/messages.ts";
import { claimMessages, deleteSent, nextMessageIn, type StoredMessage } from "../database/outbox.ts";
import type { Deps } from "../deps.ts";
import { eventMessage } from "../messaging/envelope.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { PassResult } from "../runtime/loop.ts";

const BATCH = 500;
const CONFIRM_TIMEOUT_MS = 10_000;

export interface RelayResult extends PassResult {
  readonly sent: number;
}

/**
 * Sends lifecycle events, control messages and commands that were committed to the outbox. A message that nobody is bound
 * for has been told to everybody who listens: unroutable counts as sent. At least once, with the same message id.
 */
export async function relay(deps: Deps, batch = BATCH): Promise<RelayResult> {
  if (!deps.publisher.ready) return { sent: 0, full: false, next_in_ms: null };
  const messages = await deps.database.transaction((tx) => claimMessages(tx, batch));
  if (messages.length === 0) {
    return { sent: 0, full: false, next_in_ms: await deps.database.transaction((tx) => nextMessageIn(tx)) };
  }
  failpoint("relay_claimed");
  const outcomes = await deps.publisher.publish(
    messages.map((message) => toOutgoing(deps, message)),
    CONFIRM_TIMEOUT_MS,
  );
  failpoint("relay_confirmed");
  for (const outcome of outcomes) deps.metrics.events_relayed.inc({ outcome });
  const done = messages.filter((_, index) => outcomes[index] !== "unknown" && outcomes[index] !== "refused");
  const rejected = messages.filter((_, index) => outcomes[index] === "rejected");
  if (rejected.length > 0) deps.logger.error({ messages: rejected.map(({ id }) => id) }, "the broker rejected events");
  const next_in_ms = await deps.database.transaction(async (tx) => {
    await deleteSent(
      tx,
      done.map((message) => message.id),
    );
    return nextMessageIn(tx);
  });
  return { sent: done.length, full: messages.length === batch, next_in_ms };
}

function toOutgoing(deps: Deps, message: StoredMessage) {
  const type = message.type as MessageType;
  return eventMessage(
    {
      id: message.message_id,
      type,
      subject: message.subject ?? undefined,
      time: message.created_at,
      traceparent: message.traceparent,
      data: message.data as MessageData<typeof type>,
    },
    `${deps.prefix}.${message.exchange}`,
  );
}
