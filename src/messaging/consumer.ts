import type { Channel, ConsumeMessage } from "amqplib";
import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import { AckWindow } from "./ack-window.ts";
import type { Link, SupervisedConnection } from "./connection.ts";
import { createDeadLetters } from "./dead-letters.ts";
import { openChannel } from "./declare.ts";
import type { Delivery, Held, Tap } from "./delivery.ts";
import { createInbox } from "./inbox.ts";
import type { Publisher } from "./publisher.ts";
import { names } from "./topology.ts";
import type { TopologyKeeper } from "./topology-keeper.ts";
import { untilAborted } from "./until-aborted.ts";

export type { Delivery } from "./delivery.ts";

/** What to consume and how. */
export interface ConsumeOptions {
  readonly queue: QueueSource;
  /** Unacknowledged messages in memory at most; at least twice `batch_size` keeps the next batch ready. */
  readonly prefetch: number;
  /** Messages per batch at most. */
  readonly batch_size: number;
  /** How long an incomplete batch waits for more, ms. 0 (default): not at all; batches fill while `handle` is busy. */
  readonly linger_ms?: number;
  /** Larger bodies are dead-lettered unread. Default 1 MiB. */
  readonly max_body_bytes?: number;
  /** Resolves when what the deliveries say is committed. Rejecting (database failure) keeps them and tries again later. */
  handle(batch: readonly Delivery[]): Promise<void>;
  /** Asked after lasting failures, before consuming is taken up again: rejects while handling has no prospects. */
  ready?(): Promise<void>;
}

export type QueueSource =
  | { readonly name: string }
  /** Exclusive, auto-delete, a new one for each connection: every instance hears the message. */
  | {
      readonly exclusive: (connection: number) => string;
      readonly bindings: readonly { readonly exchange: string; readonly routing_key: string }[];
      /** The queue whose dead letters also keep this one's. */
      readonly dead_letters_of: string;
    };

export interface Consumer {
  /** Takes no more, waits for the batch in hand, `timeout_ms` at most. May be called twice. */
  stop(timeout_ms: number): Promise<void>;
}

export interface ConsumerDeps {
  readonly connection: SupervisedConnection;
  readonly topology: TopologyKeeper;
  readonly publisher: Publisher;
  readonly prefix: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const MAX_BODY_BYTES = 1024 * 1024;

/** Consumes a queue in micro-batches, one batch in hand at a time, through every reconnect until stopped. */
export function createConsumer(deps: ConsumerDeps, options: ConsumeOptions): Consumer {
  const { connection, topology, clock } = deps;
  const { queue, prefetch, max_body_bytes = MAX_BODY_BYTES } = options;
  const dead_letters_of = "name" in queue ? queue.name : queue.dead_letters_of;
  const logger = deps.logger.child({ queue: dead_letters_of });
  const stopping = new AbortController();
  const drained = new AbortController();
  const deadLetters = createDeadLetters({
    publisher: deps.publisher,
    exchange: names(deps.prefix).exchange.dead_letters,
    queue: dead_letters_of,
    redeclare: topology.redeclare,
    clock,
    logger,
  });
  let failing = new AbortController();
  const giveBack = () => failing.abort();
  const inbox = createInbox({ ...options, giveBack, deadLetters, clock, logger, stopping: stopping.signal });
  let sessions = 0;
  let suspect = false;

  /** Consumes over one channel, until it ends. */
  async function session(link: Link): Promise<void> {
    await topology.whenDeclared(AbortSignal.any([link.lost, stopping.signal]));
    if (link.lost.aborted || stopping.signal.aborted) return;
    if (failing.signal.aborted) {
      await options.ready?.();
      failing = new AbortController();
    }
    // The last session ended although its connection lived: the queue was deleted, perhaps, and nobody else notices.
    if (suspect) await topology.redeclare();
    sessions++;
    const channel = await openChannel(link);
    const ended = new AbortController();
    const tap: Tap = { channel, acks: new AckWindow(), alive: true };
    const end = () => {
      tap.alive = false;
      ended.abort();
    };
    channel.on("close", end);
    link.lost.addEventListener("abort", end);
    try {
      if (!link.lost.aborted) await consume(tap, ended.signal);
    } finally {
      suspect = !link.lost.aborted && !failing.signal.aborted;
      link.lost.removeEventListener("abort", end);
      // What is not acknowledged by now is delivered again, to whoever consumes next.
      tap.alive = false;
      await channel.close().catch(() => undefined);
    }
  }

  /** Until the channel has ended, the queue is gone, handling fails for long, or all in hand is handled after a stop. */
  async function consume(tap: Tap, ended: AbortSignal): Promise<void> {
    const { channel } = tap;
    await channel.prefetch(prefetch);
    const source = await declareSource(channel);
    const cancelled = new AbortController();
    const { consumerTag } = await channel.consume(source, (message) => {
      if (message) receive(message, tap);
      else cancelled.abort();
    });
    logger.info({ source }, "consuming");
    await untilAborted(ended, cancelled.signal, stopping.signal, failing.signal);
    if (cancelled.signal.aborted) logger.warn("RabbitMQ cancelled the consumer (queue deleted)");
    if (!stopping.signal.aborted || ended.aborted) return;
    await channel.cancel(consumerTag).catch(() => undefined);
    await untilAborted(ended, drained.signal);
  }

  /** The name of the queue to consume, which is declared here if it is for this channel alone. */
  async function declareSource(channel: Channel): Promise<string> {
    if ("name" in queue) return queue.name;
    const name = queue.exclusive(sessions);
    await channel.assertQueue(name, {
      exclusive: true,
      autoDelete: true,
      durable: false,
      arguments: { "x-queue-type": "classic" },
    });
    for (const { exchange, routing_key } of queue.bindings) await channel.bindQueue(name, exchange, routing_key);
    return name;
  }

  function receive(message: ConsumeMessage, tap: Tap): void {
    const held: Held = { message, tap, first_seen: clock.monotonic() };
    const bytes = message.content.length;
    if (bytes <= max_body_bytes) inbox.put(held);
    else deadLetters.add(held, `body: expected at most ${max_body_bytes} bytes, found ${bytes}`);
  }

  const release = connection.hold(dead_letters_of, session);
  let stopped: Promise<void> | null = null;

  return {
    stop(timeout_ms) {
      stopped ??= (async () => {
        release();
        stopping.abort();
        const timer = new AbortController();
        await Promise.race([inbox.emptied.then(() => deadLetters.settled()), clock.sleep(timeout_ms, timer.signal)]);
        timer.abort();
        drained.abort();
      })();
      return stopped;
    },
  };
}
