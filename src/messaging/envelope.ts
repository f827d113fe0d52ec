import type { Priority } from "../contracts/fields.ts";
import { type MessageData, type MessageType, schemaAddress, schemaName } from "../contracts/messages.ts";
import { type Instant, toIso } from "../schedule/instant.ts";
import type { Outgoing } from "./outgoing.ts";

/** What a trigger event says about one attempt of one run. */
export interface TriggerFacts {
  readonly run_id: string;
  readonly attempt: number;
  readonly schedule_id: string | null;
  readonly schedule_name: string | null;
  readonly action: string;
  readonly action_version: number;
  readonly trigger_type: "scheduled" | "manual" | "event" | "dependency" | "backfill";
  readonly triggered_by: string | null;
  readonly scheduled_for: Instant;
  readonly start_before: Instant | null;
  readonly target: string | null;
  readonly priority: Priority;
  readonly timeout_seconds: number | null;
  /** 0 and null: no heartbeats are expected. */
  readonly heartbeat_seconds: number | null;
  /** JSON text, as Postgres prints it (`payload::text`): spliced in without being parsed and printed again. */
  readonly payload_json: string;
  readonly traceparent: string;
}

/** Where a message goes. */
export interface Route {
  readonly exchange: string;
  readonly routing_key: string;
}

const SOURCE = "/pocketwatch";
const CONTENT_TYPE = "application/cloudevents+json";
const PRIORITY: Readonly<Record<Priority, number>> = { high: 9, normal: 4, low: 1 };
// RabbitMQ 3.10 refuses more (and closes the channel); the start deadline is supervised in Postgres anyway.
const LONGEST_EXPIRATION_MS = 2 ** 32 - 1;

const TRIGGER_SCHEMA = schemaAddress("run-trigger.v1");

const quote = (text: string) => JSON.stringify(text);
const textOrNull = (text: string | null) => (text === null ? "null" : quote(text));

/** The id of a trigger event: the same however often an attempt is published. */
export function eventId(run_id: string, attempt: number): string {
  return `${run_id}:${attempt}`;
}

/** `2026-11-21T07:00:00Z`: nominal instants are whole seconds nearly always, and read better without `.000`. */
export function shortIso(instant: Instant): string {
  const iso = toIso(instant);
  return iso.endsWith(".000Z") ? `${iso.slice(0, -5)}Z` : iso;
}

/**
 * Remembers the last text: instants and actions come in runs of the same one, and printing instants alone was a third of an
 * envelope's time.
 */
function rememberLast<Value>(print: (value: Value) => string): (value: Value) => string {
  let last: Value | undefined;
  let text = "";
  return (value) => {
    if (value !== last) {
      text = print(value);
      last = value;
    }
    return text;
  };
}
const timeText = rememberLast(toIso);
const nominalText = rememberLast(shortIso);
const deadlineText = rememberLast(shortIso);
const actionText = rememberLast(quote);
const typeText = rememberLast(quote);

/**
 * The trigger event as JSON text; `now` is the event's time. Written out because it is the hot path: a third less time
 * than building an object and printing it. Ids and numbers need no escaping, and the payload is text already.
 */
export function triggerEnvelope(facts: TriggerFacts, now: Instant): string {
  const { run_id, attempt, schedule_id, action_version } = facts;
  const type = typeText(`${facts.action}.v${action_version}`);
  const subject = schedule_id === null ? `runs/${run_id}` : `schedules/${schedule_id}`;
  const schedule_name = textOrNull(facts.schedule_name);
  const triggered_by = facts.triggered_by === facts.schedule_name ? schedule_name : textOrNull(facts.triggered_by);
  const start_before = facts.start_before === null ? "null" : `"${deadlineText(facts.start_before)}"`;
  return (
    `{"specversion":"1.0","id":"${run_id}:${attempt}","type":${type},"source":"${SOURCE}","subject":"${subject}",` +
    `"time":"${timeText(now)}","datacontenttype":"application/json","dataschema":"${TRIGGER_SCHEMA}",` +
    `"traceparent":${quote(facts.traceparent)},"data":{"run_id":"${run_id}","attempt":${attempt},` +
    `"schedule_id":${schedule_id === null ? "null" : `"${schedule_id}"`},"schedule_name":${schedule_name},` +
    `"action":${actionText(facts.action)},"action_version":${action_version},"trigger_type":"${facts.trigger_type}",` +
    `"triggered_by":${triggered_by},"scheduled_for":"${nominalText(facts.scheduled_for)}",` +
    `"start_before":${start_before},"target":${textOrNull(facts.target)},"priority":"${facts.priority}",` +
    `"timeout_seconds":${facts.timeout_seconds},"heartbeat_seconds":${facts.heartbeat_seconds || null},` +
    `"payload":${facts.payload_json}}}`
  );
}

/**
 * The trigger event as a message. `expires_in_ms` is the time left until `start_before`, as a duration computed by
 * Postgres (two clocks are never compared); `null` for none.
 */
export function triggerMessage(
  facts: TriggerFacts,
  route: Route,
  now: Instant,
  expires_in_ms: number | null,
): Outgoing {
  return {
    exchange: route.exchange,
    routing_key: route.routing_key,
    body: triggerEnvelope(facts, now),
    message_id: eventId(facts.run_id, facts.attempt),
    type: `${facts.action}.v${facts.action_version}`,
    content_type: CONTENT_TYPE,
    priority: PRIORITY[facts.priority],
    expiration_ms: expiration(expires_in_ms),
    headers: { traceparent: facts.traceparent },
  };
}

function expiration(expires_in_ms: number | null): number | undefined {
  if (expires_in_ms === null || expires_in_ms > LONGEST_EXPIRATION_MS) return undefined;
  return Math.max(0, Math.floor(expires_in_ms));
}

/** Any other message of ours: a lifecycle event, a control message, a command. */
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
