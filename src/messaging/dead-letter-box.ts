import { hash } from "node:crypto";
import type { Channel, GetMessage } from "amqplib";
import type { Instant } from "../schedule/instant.ts";
import type { SupervisedConnection } from "./connection.ts";
import { plainHeaders } from "./dead-letters.ts";
import { openChannel } from "./declare.ts";
import type { Outcome, Publisher } from "./publisher.ts";
import { deadQueue } from "./topology.ts";

/** A message that could not be handled. */
export interface DeadLetter {
  /** Names the message as long as it lies there: its queue and a digest of what it says. */
  readonly id: string;
  /** The queue it was meant for. */
  readonly queue: string;
  readonly reason: string | null;
  readonly message_id: string | null;
  readonly type: string | null;
  readonly died_at: Instant | null;
  /** Parsed JSON, or text where it is none. */
  readonly body: unknown;
}

export interface DeadLetterBox {
  /** The oldest dead letters of these queues, `limit` of them all together. Rejects while the broker is away. */
  list(queues: readonly string[], limit: number): Promise<DeadLetter[]>;
  /** Hands a dead letter to its queue again; null where it is not (or no longer) there. */
  requeue(id: string): Promise<{ readonly letter: DeadLetter; readonly outcome: Outcome } | null>;
}

const PUBLISH_TIMEOUT_MS = 10_000;
/** A queue is looked through so far for one letter. */
const MOST_LOOKED_AT = 10_000;

/**
 * AMQP has no way to look at a queue: messages are taken without being acknowledged, and go back, in their places, when the
 * channel closes.
 */
export function createDeadLetterBox(connection: SupervisedConnection, publisher: Publisher): DeadLetterBox {
  async function withChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const { link } = connection;
    if (link === null) throw new Error("RabbitMQ is away");
    const channel = await openChannel(link);
    try {
      return await work(channel);
    } finally {
      await channel.close().catch(() => undefined);
    }
  }

  /** Takes letters of one queue until the visitor has seen enough (true), the queue is empty or the bound is reached. */
  async function visit(
    queue: string,
    most: number,
    see: (letter: DeadLetter, message: GetMessage, channel: Channel) => Promise<boolean>,
  ) {
    await withChannel(async (channel) => {
      for (let seen = 0; seen < most; seen += 1) {
        const message = await channel.get(deadQueue(queue), { noAck: false });
        if (message === false) return;
        if (await see(read(queue, message), message, channel)) return;
      }
    });
  }

  return {
    async list(queues, limit) {
      const letters: DeadLetter[] = [];
      for (const queue of queues) {
        if (letters.length >= limit) break;
        await visit(queue, limit - letters.length, async (letter) => {
          letters.push(letter);
          return false;
        }).catch(ignoreMissingQueue);
      }
      return letters;
    },
    async requeue(id) {
      const queue = id.slice(0, id.lastIndexOf(":"));
      let found: { letter: DeadLetter; outcome: Outcome } | null = null;
      await visit(queue, MOST_LOOKED_AT, async (letter, message, channel) => {
        if (letter.id !== id) return false;
        const [outcome] = await publisher.publish([again(queue, message)], PUBLISH_TIMEOUT_MS);
        // Taken out only once it is safely back in its queue.
        if (outcome === "confirmed") channel.ack(message);
        found = { letter, outcome: outcome ?? "unknown" };
        return true;
      }).catch(ignoreMissingQueue);
      return found;
    },
  };
}

const NOT_FOUND = 404;

function ignoreMissingQueue(error: unknown): void {
  if ((error as { code?: unknown }).code !== NOT_FOUND) throw error;
}

function read(queue: string, { content, properties }: GetMessage): DeadLetter {
  const headers = (properties.headers ?? {}) as Record<string, unknown>;
  const death = (headers["x-death"] as { time?: { value?: number } }[] | undefined)?.[0];
  const text = content.toString("utf8");
  const said = headers["x-pocketwatch-reason"] ?? headers["x-first-death-reason"];
  return {
    id: `${queue}:${hash("sha256", `${properties.messageId}\n${text}`).slice(0, 32)}`,
    queue,
    reason: typeof said === "string" ? said : null,
    message_id: typeof properties.messageId === "string" ? properties.messageId : null,
    type: typeof properties.type === "string" ? properties.type : null,
    died_at: typeof death?.time?.value === "number" ? death.time.value * 1_000 : null,
    body: parsed(text),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// To the default exchange, whose routing keys are the names of queues: no other queue gets a copy.
function again(queue: string, { content, properties }: GetMessage) {
  return {
    exchange: "",
    routing_key: queue,
    body: content,
    message_id: typeof properties.messageId === "string" ? properties.messageId : hash("sha256", content),
    type: properties.type,
    content_type: properties.contentType,
    priority: properties.priority,
    headers: plainHeaders(properties.headers),
  };
}
