/** One message to publish. Persistent and mandatory always; bounds are AMQP's (short strings hold 255 bytes). */
export interface Outgoing {
  readonly exchange: string;
  readonly routing_key: string;
  readonly body: Buffer | string;
  /** The event's id. Correlates a returned message with its place in the batch, so unique within one. */
  readonly message_id: string;
  readonly type?: string | undefined;
  readonly content_type?: string | undefined;
  readonly priority?: number | undefined;
  /** Discarded by the broker after so many milliseconds; absent: never. */
  readonly expiration_ms?: number | undefined;
  /** Unix seconds. */
  readonly timestamp?: number | undefined;
  readonly headers?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/**
 * What became of a message:
 * - `confirmed`: the broker has it, in a queue;
 * - `unroutable`: no queue takes it, or the exchange does not exist;
 * - `refused`: the broker would not take it now (nack, no permission);
 * - `rejected`: the broker will never take this one (too large, invalid property);
 * - `unknown`: no answer (connection lost, time ran out); it may or may not have arrived.
 */
export type Outcome = "confirmed" | "unroutable" | "refused" | "rejected" | "unknown";
