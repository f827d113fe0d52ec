import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import type { Link, SupervisedConnection } from "./connection.ts";
import { type Lane, openLane } from "./lane.ts";
import type { Outcome, Outgoing } from "./outgoing.ts";
import { byExchange, fill, halves, type Part, pick } from "./part.ts";
import { rawConnection } from "./raw-connection.ts";
import { REPLY } from "./reply.ts";

export type { Outcome, Outgoing } from "./outgoing.ts";

/** Publishes batches with confirms, over a connection of its own. */
export interface Publisher {
  /** Connected, not blocked, topology declared: what is published now has good prospects. */
  readonly ready: boolean;
  /** Calls back whenever `ready` changes; the returned function ends that. */
  onChange(listener: (ready: boolean) => void): () => void;
  /**
   * Publishes and waits for the broker's answers, `timeout_ms` at most. One outcome per message, in order. Never
   * rejects: a lost connection is the outcome `unknown`.
   */
  publish(messages: readonly Outgoing[], timeout_ms: number): Promise<Outcome[]>;
}

export interface PublisherDeps {
  readonly connection: SupervisedConnection;
  readonly topology: { readonly declared: boolean; onChange(listener: () => void): () => void };
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createPublisher(deps: PublisherDeps): Publisher {
  const { connection, topology, clock, logger } = deps;
  const listeners = new Set<(ready: boolean) => void>();
  const lanes = new Map<string, { link: Link; lane: Promise<Lane> }>();
  /** Exchanges whose lane ran out of time and is being replaced: the broker may be silent. */
  const silent = new Set<string>();
  let ready = false;

  function update(): void {
    const now = connection.state === "connected" && topology.declared && silent.size === 0;
    if (now === ready) return;
    ready = now;
    for (const listener of [...listeners]) listener(now);
  }
  connection.onChange(update);
  topology.onChange(update);
  update();

  /** The exchange's lane, opened if need be. */
  async function laneOf(link: Link, exchange: string): Promise<Lane> {
    const known = lanes.get(exchange);
    if (known?.link === link) {
      const lane = await known.lane.catch(() => null);
      if (lane && !lane.end) return lane;
      // Whoever comes first replaces it; the others take what they find then.
      if (lanes.get(exchange) !== known) return laneOf(link, exchange);
    }
    const lane = openLane(link);
    lanes.set(exchange, { link, lane });
    return lane;
  }

  /** Nothing is claimed for a broker that does not answer: not ready until it has opened a channel again. */
  function suspect(link: Link, exchange: string): void {
    logger.warn({ exchange }, "RabbitMQ did not confirm in time; its channel is replaced");
    silent.add(exchange);
    update();
    const trusted = () => {
      silent.delete(exchange);
      update();
    };
    laneOf(link, exchange).then(trusted, trusted);
  }

  /** Sends a part over a lane; what the broker answers is filled in, the rest is returned with the reason. */
  async function send(part: Part, lane: Lane, expired: Promise<void>): Promise<{ rest: Part; code: number | null }> {
    const batch = { messages: part.messages, outcomes: new Array<Outcome | undefined>(part.messages.length) };
    try {
      await Promise.race([lane.send(batch), expired]);
    } catch (error) {
      // A defect of ours; what stands on the channel now nobody knows.
      logger.error({ err: error, exchange: part.exchange }, "cannot write messages");
      lane.discard();
    }
    const open: number[] = [];
    for (let position = 0; position < part.messages.length; position++) {
      const outcome = batch.outcomes[position];
      if (outcome === undefined) open.push(position);
      else part.outcomes[part.places[position] as number] = outcome;
    }
    return { rest: pick(part, open), code: lane.end?.code ?? null };
  }

  async function publishPart(part: Part, link: Link, expiry: Expiry): Promise<void> {
    const lane = await Promise.race([laneOf(link, part.exchange).catch(() => null), expiry.reached]);
    if (!lane) return expiry.passed ? suspect(link, part.exchange) : undefined;
    const { rest, code } = await send(part, lane, expiry.reached);
    if (rest.messages.length === 0) return;
    if (!lane.end) {
      lane.discard();
      suspect(link, part.exchange);
      return;
    }
    await judge(rest, code, link, expiry);
  }

  /** What the broker's reason for closing the channel says about the messages it left unanswered. */
  async function judge(rest: Part, code: number | null, link: Link, expiry: Expiry): Promise<void> {
    switch (code) {
      case REPLY.not_found:
        return fill(rest, "unroutable");
      case REPLY.access_refused:
        return fill(rest, "refused");
      case REPLY.precondition_failed:
      case REPLY.content_too_large:
        return isolate(rest, link, expiry);
      default:
        // The connection went, or something no message is to blame for: `unknown`.
        if (code !== null) logger.error({ exchange: rest.exchange, code }, "RabbitMQ closed a publishing channel");
    }
  }

  /**
   * One of these messages made the broker close its channel, it does not say which: halves them until it stands alone.
   * On channels of its own, so that the offender does not take other batches down again and again.
   */
  async function isolate(part: Part, link: Link, expiry: Expiry): Promise<void> {
    if (expiry.passed || link.lost.aborted) return;
    const lane = await Promise.race([openLane(link).catch(() => null), expiry.reached]);
    if (!lane) return;
    const { rest, code } = await send(part, lane, expiry.reached);
    lane.discard();
    if (rest.messages.length === 0) return;
    if (code !== REPLY.precondition_failed && code !== REPLY.content_too_large) return judge(rest, code, link, expiry);
    if (rest.messages.length === 1) {
      logger.error(
        { exchange: rest.exchange, message_id: rest.messages[0]?.message_id, code },
        "RabbitMQ rejects a message",
      );
      return fill(rest, "rejected");
    }
    for (const half of halves(rest)) await isolate(half, link, expiry);
  }

  return {
    get ready() {
      return ready;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async publish(messages, timeout_ms) {
      const outcomes = new Array<Outcome | undefined>(messages.length);
      const { link } = connection;
      if (link && connection.state === "connected") {
        const expiry = createExpiry(clock, timeout_ms);
        const parts = byExchange(messages, outcomes, rawConnection(link.model).frameMax);
        await Promise.all(parts.map((part) => publishPart(part, link, expiry)));
        expiry.cancel();
      }
      return Array.from(outcomes, (outcome) => outcome ?? "unknown");
    },
  };
}

interface Expiry {
  readonly passed: boolean;
  readonly reached: Promise<void>;
  cancel(): void;
}

function createExpiry(clock: Clock, timeout_ms: number): Expiry {
  let passed = false;
  let cancel = () => {};
  const reached = new Promise<void>((resolve) => {
    cancel = clock.after(timeout_ms, () => {
      passed = true;
      resolve();
    });
  });
  return {
    get passed() {
      return passed;
    },
    reached,
    cancel: () => cancel(),
  };
}
