import type { Channel, ConsumeMessage, MessageProperties } from "amqplib";
import type { AckWindow } from "./ack-window.ts";

/**
 * One message in the service's hands. Say what is to become of it with one of the three methods before `handle`
 * resolves; nothing of it happens until then, and nothing at all when `handle` rejects. What is left unsaid counts as
 * `retryLater`.
 */
export interface Delivery {
  readonly body: Buffer;
  readonly properties: MessageProperties;
  readonly exchange: string;
  readonly routing_key: string;
  readonly redelivered: boolean;
  /** When this process first saw it; monotonic ms. */
  readonly first_seen: number;
  /** Done with. */
  ack(): void;
  /** To the dead letters, with the reason in the header `x-pocketwatch-reason`. */
  deadLetter(reason: string): void;
  /** Kept here unacknowledged and handed again in a later batch, a second or more from now. */
  retryLater(reason: string): void;
}

/** A channel that delivers, until it is closed: then what came over it is the broker's again. */
export interface Tap {
  readonly channel: Channel;
  readonly acks: AckWindow;
  alive: boolean;
}

/** A message that has not been settled. */
export interface Held {
  readonly message: ConsumeMessage;
  readonly tap: Tap;
  readonly first_seen: number;
}

export type Verdict =
  | { readonly kind: "ack" }
  | { readonly kind: "dead"; readonly reason: string }
  | { readonly kind: "later"; readonly reason: string };

/** What the handler says about a held message, kept until the whole batch is done. */
export class Judged implements Delivery {
  readonly held: Held;
  verdict: Verdict = { kind: "later", reason: "the handler left it undecided" };

  constructor(held: Held) {
    this.held = held;
  }

  get body(): Buffer {
    return this.held.message.content;
  }
  get properties(): MessageProperties {
    return this.held.message.properties;
  }
  get exchange(): string {
    return this.held.message.fields.exchange;
  }
  get routing_key(): string {
    return this.held.message.fields.routingKey;
  }
  get redelivered(): boolean {
    return this.held.message.fields.redelivered;
  }
  get first_seen(): number {
    return this.held.first_seen;
  }

  ack(): void {
    this.verdict = { kind: "ack" };
  }
  deadLetter(reason: string): void {
    this.verdict = { kind: "dead", reason };
  }
  retryLater(reason: string): void {
    this.verdict = { kind: "later", reason };
  }
}

/** Marks a held message as done with; `flushAcks` tells the broker. */
export function settle({ message, tap }: Held): void {
  if (tap.alive) tap.acks.settle(message.fields.deliveryTag);
}

/** Acknowledges what is settled, in as few frames as possible. */
export function flushAcks(taps: Iterable<Tap>): void {
  for (const { alive, acks, channel } of taps) {
    if (!alive) continue;
    try {
      acks.flush((deliveryTag, multiple) => channel.ack({ fields: { deliveryTag } } as ConsumeMessage, multiple));
    } catch {
      // The connection is being closed and its channels do not know yet: the broker delivers these again.
    }
  }
}
