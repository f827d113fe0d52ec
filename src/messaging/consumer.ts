import type { Channel, ConsumeMessage } from "amqplib";
import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import { AckWindow } from "./ack-window.ts";
import { backoff } from "./backoff.ts";
import type { Link, SupervisedConnection } from "./connection.ts";
import { createDeadLetters } from "./dead-letters.ts";
import { openChannel } from "./declare.ts";
import { type Delivery, flushAcks, type Held, Judged, settle, type Tap } from "./delivery.ts";
import type { Publisher } from "./publisher.ts";
import { names } from "./topology.ts";
import { aborted, type TopologyKeeper } from "./topology-keeper.ts";

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
const RETRY_LATER_MS = 1_000;

/** Consumes a queue in micro-batches, one batch in hand at a time, through every reconnect until stopped. */
export function createConsumer(deps: ConsumerDeps, options: ConsumeOptions): Consumer {
  const { connection, topology, clock } = deps;
  const { queue, prefetch, batch_size, linger_ms = 0, max_body_bytes = MAX_BODY_BYTES } = options;
  const dead_letters_of = "name" in queue ? queue.name : queue.dead_letters_of;
  const logger = deps.logger.child({ queue: dead_letters_of });
  const deadLetters = createDeadLetters({
    publisher: deps.publisher,
    exchange: names(deps.prefix).exchange.dead_letters,
    queue: dead_letters_of,
    redeclare: topology.redeclare,
    clock,
    logger,
  });
  const stopping = new AbortController();
  const drained = new AbortController();
  const inbox: Held[] = [];
  const later: (Held & { readonly due: number; readonly reason: string })[] = [];
  let sessions = 0;
  let suspect = false;
  let ring = () => {};

  // -- Receiving: one session per channel.

  async function session(link: Link): Promise<void> {
    await topology.whenDeclared(AbortSignal.any([link.lost, stopping.signal]));
    if (link.lost.aborted || stopping.signal.aborted) return;
    // The queue was deleted, perhaps; nobody else would notice.
    if (suspect) await topology.redeclare();
    suspect = true;
    sessions++;
    const channel = await openChannel(link);
    const tap: Tap = { channel, acks: new AckWindow(), alive: true };
    const ended = new Promise<void>((resolve) => {
      const end = () => {
        tap.alive = false;
        resolve();
      };
      channel.on("close", end);
      link.lost.addEventListener("abort", end, { once: true });
    });
    if (link.lost.aborted) return;
    await channel.prefetch(prefetch);
    const name = await source(channel);
    const cancelled = new AbortController();
    const { consumerTag } = await channel.consume(name, (message) => {
      if (message) receive(message, tap);
      else cancelled.abort();
    });
    logger.info({ source: name }, "consuming");
    await Promise.race([ended, aborted(cancelled.signal), aborted(stopping.signal)]);
    if (cancelled.signal.aborted) logger.warn("RabbitMQ cancelled the consumer (queue deleted)");
    if (stopping.signal.aborted && tap.alive) {
      await channel.cancel(consumerTag).catch(() => undefined);
      await Promise.race([ended, aborted(drained.signal)]);
    }
    suspect = !link.lost.aborted;
    // What is not acknowledged by now is delivered again, to whoever consumes next.
    tap.alive = false;
    await channel.close().catch(() => undefined);
  }

  async function source(channel: Channel): Promise<string> {
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
    if (bytes > max_body_bytes) {
      deadLetters.add(held, `body: expected at most ${max_body_bytes} bytes, found ${bytes}`);
      return;
    }
    inbox.push(held);
    ring();
  }

  // -- Handing over: one loop for all sessions, so that there is never more than one batch in hand.

  async function pump(): Promise<void> {
    while (!stopping.signal.aborted) {
      if (linger_ms > 0 && inbox.length > 0) await gather();
      const batch = take();
      if (batch.length > 0) await hand(batch);
      else if (inbox.length === 0) await rest((later[0]?.due ?? Number.POSITIVE_INFINITY) - clock.monotonic());
    }
  }

  /** Until the batch is full or has waited long enough. */
  async function gather(): Promise<void> {
    const until = clock.monotonic() + linger_ms;
    while (inbox.length < batch_size && !stopping.signal.aborted) {
      const left = until - clock.monotonic();
      if (left <= 0) return;
      await rest(left);
    }
  }

  /** Until something arrives, or so many ms have passed. */
  function rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        ring = () => {};
        resolve();
      };
      const cancel = ms < Number.POSITIVE_INFINITY ? clock.after(Math.max(0, ms), wake) : () => {};
      ring = wake;
    });
  }

  function take(): Held[] {
    const now = clock.monotonic();
    const batch: Held[] = [];
    while (batch.length < batch_size && later[0] && later[0].due <= now) batch.push(later.shift() as Held);
    batch.push(...inbox.splice(0, batch_size - batch.length));
    return batch.filter(({ tap }) => tap.alive);
  }

  /** Hands a batch over until it is handled; a failure is the database's, so the messages are not to blame for it. */
  async function hand(batch: readonly Held[]): Promise<void> {
    for (let failures = 0; !stopping.signal.aborted; failures++) {
      const judged = batch.filter(({ tap }) => tap.alive).map((held) => new Judged(held));
      if (judged.length === 0) return;
      try {
        await options.handle(judged);
        conclude(judged);
        return;
      } catch (error) {
        const wait = backoff(failures);
        logger.error(
          { err: error, messages: judged.length, wait_ms: Math.round(wait) },
          "handling failed; trying again",
        );
        await clock.sleep(wait, stopping.signal);
      }
    }
  }

  function conclude(judged: readonly Judged[]): void {
    const due = clock.monotonic() + RETRY_LATER_MS;
    for (const { held, verdict } of judged) {
      if (!held.tap.alive) continue;
      if (verdict.kind === "ack") settle(held);
      else if (verdict.kind === "dead") deadLetters.add(held, verdict.reason);
      else later.push({ ...held, due, reason: verdict.reason });
    }
    flushAcks(new Set(judged.map(({ held }) => held.tap)));
    // What waits to be tried again must leave room for what arrives.
    while (later.length > prefetch / 2) {
      const oldest = later.shift();
      if (oldest?.tap.alive) deadLetters.add(oldest, `${oldest.reason} (given up early: too many are being retried)`);
    }
  }

  const release = connection.hold(dead_letters_of, session);
  const pumping = pump();
  let stopped: Promise<void> | null = null;

  return {
    stop(timeout_ms) {
      stopped ??= (async () => {
        release();
        stopping.abort();
        ring();
        const timer = new AbortController();
        await Promise.race([pumping.then(() => deadLetters.settled()), clock.sleep(timeout_ms, timer.signal)]);
        timer.abort();
        drained.abort();
      })();
      return stopped;
    },
  };
}
