import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import { flushAcks, type Held, settle } from "./delivery.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Publisher } from "./publisher.ts";

const PUBLISH_TIMEOUT_MS = 10_000;
const RETRY_MS = 1_000;
const MOST_REASON_CHARACTERS = 1_000;

export interface DeadLettersDeps {
  readonly publisher: Publisher;
  /** The dead-letters exchange. */
  readonly exchange: string;
  /** The queue whose dead letters these are. */
  readonly queue: string;
  /** Called when there is no queue for them. */
  readonly redeclare: () => Promise<unknown>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Moves messages to the dead letters with a reason: published with a confirm first, acknowledged only then. */
export interface DeadLetters {
  add(held: Held, reason: string): void;
  /** Resolves when nothing is left to move, or nothing can be moved for now. */
  settled(): Promise<void>;
}

interface Doomed {
  readonly held: Held;
  readonly reason: string;
  /** The broker refused the original properties. */
  bare: boolean;
}

export function createDeadLetters(deps: DeadLettersDeps): DeadLetters {
  const { publisher, clock, logger } = deps;
  let doomed: Doomed[] = [];
  let moving: Promise<void> | null = null;
  let pending = false;

  function move(): void {
    if (moving || pending || !publisher.ready || doomed.length === 0) return;
    moving = publishAll().finally(() => {
      moving = null;
      if (doomed.length === 0) return;
      pending = true;
      clock.after(RETRY_MS, () => {
        pending = false;
        move();
      });
    });
  }
  publisher.onChange(move);

  async function publishAll(): Promise<void> {
    // What came over a channel that is gone is delivered again, and judged again.
    const batch = doomed.filter(({ held }) => held.tap.alive);
    doomed = [];
    const outcomes = await publisher.publish(batch.map(asMessage), PUBLISH_TIMEOUT_MS);
    for (const [place, one] of batch.entries()) {
      const outcome = outcomes[place];
      if (outcome === "confirmed") settle(one.held);
      else if (outcome === "rejected") giveBack(one);
      else doomed.push(one);
    }
    flushAcks(new Set(batch.map(({ held }) => held.tap)));
    if (outcomes.includes("unroutable")) {
      logger.error({ queue: deps.queue }, "no queue for dead letters; declaring it again");
      await deps.redeclare().catch(() => undefined);
    }
  }

  /** Properties that cannot be published again are dropped; failing that, the broker moves it, without the reason. */
  function giveBack(one: Doomed): void {
    if (!one.bare) {
      one.bare = true;
      doomed.push(one);
      return;
    }
    const { tap, message } = one.held;
    if (!tap.alive) return;
    try {
      tap.channel.reject(message, false);
      tap.acks.skip(message.fields.deliveryTag);
    } catch {
      // The connection is being closed: the broker delivers it again.
    }
  }

  function asMessage({ held, reason, bare }: Doomed): Outgoing {
    const { properties, fields, content } = held.message;
    const id = properties.messageId;
    const known = !bare && typeof id === "string";
    return {
      exchange: deps.exchange,
      routing_key: deps.queue,
      body: content,
      message_id: known ? id : `${deps.queue}:${fields.deliveryTag}`,
      type: bare ? undefined : properties.type,
      content_type: bare ? undefined : properties.contentType,
      headers: { ...(bare ? {} : plainHeaders(properties.headers)), "x-pocketwatch-reason": reason },
    };
  }

  return {
    add(held, reason) {
      logger.warn(
        {
          queue: deps.queue,
          message_id: held.message.properties.messageId,
          bytes: held.message.content.length,
          reason,
        },
        "message goes to the dead letters",
      );
      doomed.push({ held, reason: reason.slice(0, MOST_REASON_CHARACTERS), bare: false });
      move();
    },
    async settled() {
      await moving;
    },
  };
}

// What RabbitMQ notes of a message's past would be taken for this message's own.
const BOOKKEEPING = /^x-(death|delivery-count|acquired-count|opt-.*|(first|last)-death-.*)$/;

/** The headers that are text, numbers or flags, without the broker's own. */
export function plainHeaders(headers: Record<string, unknown> | undefined): Record<string, string | number | boolean> {
  const plain: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (BOOKKEEPING.test(name)) continue;
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") plain[name] = value;
  }
  return plain;
}
