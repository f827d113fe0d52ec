import { type MessageData, type MessageType, schemaAddress, schemaName } from "../contracts/messages.ts";
import { type Instant, toIso } from "../schedule/instant.ts";
import type { Outgoing } from "./outgoing.ts";

/** Where a message goes. */
export interface Route {
  readonly exchange: string;
  readonly routing_key: string;
}

/** The `source` and the content type of every event of ours (CloudEvents 1.0, as JSON). */
export const SOURCE = "/pocketwatch";
export const CONTENT_TYPE = "application/cloudevents+json";

/** Any message of ours but a trigger event: a lifecycle event, a control message, a command. */
export interface EventFacts<T extends MessageType> {
  readonly id: string;
  readonly type: T;
  readonly subject?: string | undefined;
  readonly time: Instant;
  readonly traceparent?: string | null | undefined;
  readonly data: MessageData<T>;
}

/** A lifecycle event, control message or command as a message on `exchange`, its type being the routing key. */
export function eventMessage<T extends MessageType>(facts: EventFacts<T>, exchange: string): Outgoing {
  const { id, type, subject, time, data } = facts;
  const traceparent = facts.traceparent ?? undefined;
  return {
    exchange,
    routing_key: type,
    body: JSON.stringify({
      specversion: "1.0",
      id,
      type,
      source: SOURCE,
      subject,
      time: toIso(time),
      datacontenttype: "application/json",
      dataschema: schemaAddress(schemaName(type)),
      traceparent,
      data,
    }),
    message_id: id,
    type,
    content_type: CONTENT_TYPE,
    headers: traceparent === undefined ? undefined : { traceparent },
  };
}
