import type { Priority } from "../contracts/fields.ts";
import { schemaAddress } from "../contracts/messages.ts";
import { type Instant, toIso } from "../schedule/instant.ts";
import { CONTENT_TYPE, type Route, SOURCE } from "./envelope.ts";
import type { Outgoing } from "./outgoing.ts";

/** What a trigger event says about one attempt of one run, whenever it is published. */
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
  readonly target: string | null;
  readonly priority: Priority;
  readonly timeout_seconds: number | null;
  /** 0 and null: no heartbeats are expected. */
  readonly heartbeat_seconds: number | null;
  /** JSON text, as Postgres prints it (`payload::text`): spliced in without being parsed and printed again. */
  readonly payload_json: string;
  readonly traceparent: string;
}

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
function shortIso(instant: Instant): string {
  const iso = toIso(instant);
  return iso.endsWith(".000Z") ? `${iso.slice(0, -5)}Z` : iso;
}

/**
 * Remembers what was printed last: instants and actions come in runs of the same one, and printing instants alone was a third of an
 * envelope's time.
 */
function rememberLast<Value, Printed>(print: (value: Value) => Printed): (value: Value) => Printed {
  let last: Value | undefined;
  let printed: Printed;
  return (value) => {
    if (value !== last) {
      printed = print(value);
      last = value;
    }
    return printed;
  };
}
const timeBytes = rememberLast((instant: Instant) => inRoom(quote(toIso(instant))));
const deadlineBytes = rememberLast((instant: Instant | null) =>
  inRoom(instant === null ? "null" : quote(shortIso(instant))),
);
const nominalText = rememberLast(shortIso);
const actionText = rememberLast(quote);
const typeText = rememberLast(quote);

const LATEST = 8.64e15;
/** Room for any instant in quotes, also of a year of six digits. */
const ROOM = " ".repeat(toIso(LATEST).length + 2);
/** What does not fill its room is followed by spaces, which JSON allows between its tokens. */
const inRoom = (text: string) => Buffer.from(text.padEnd(ROOM.length));
const UNTIL_TIME = '{"specversion":"1.0","time":';
const UNTIL_START_BEFORE = `${UNTIL_TIME}${ROOM},"data":{"start_before":`;

/**
 * The JSON text of a trigger event, with room for the two instants that are known only when it is published. So it can be made
 * before its schedule is due: in a burst, making it was half of what publishing costs. The two come first, where their place
 * does not depend on anything.
 *
 * Written out because it is the hot path: a third less time than building an object and printing it. Ids and numbers need no
 * escaping, and the payload is text already.
 */
export function triggerBody(facts: TriggerFacts): Buffer {
  const { run_id, attempt, schedule_id, action_version } = facts;
  const type = typeText(`${facts.action}.v${action_version}`);
  const subject = schedule_id === null ? `runs/${run_id}` : `schedules/${schedule_id}`;
  const schedule_name = textOrNull(facts.schedule_name);
  const triggered_by = facts.triggered_by === facts.schedule_name ? schedule_name : textOrNull(facts.triggered_by);
  const text =
    `${UNTIL_START_BEFORE}${ROOM},"run_id":"${run_id}","attempt":${attempt},` +
    `"schedule_id":${schedule_id === null ? "null" : `"${schedule_id}"`},"schedule_name":${schedule_name},` +
    `"action":${actionText(facts.action)},"action_version":${action_version},"trigger_type":"${facts.trigger_type}",` +
    `"triggered_by":${triggered_by},"scheduled_for":"${nominalText(facts.scheduled_for)}",` +
    `"target":${textOrNull(facts.target)},"priority":"${facts.priority}",` +
    `"timeout_seconds":${facts.timeout_seconds},"heartbeat_seconds":${facts.heartbeat_seconds || null},` +
    `"payload":${facts.payload_json}},"id":"${run_id}:${attempt}","type":${type},"source":"${SOURCE}",` +
    `"subject":"${subject}","datacontenttype":"application/json","dataschema":"${TRIGGER_SCHEMA}",` +
    `"traceparent":${quote(facts.traceparent)}}`;
  // Not Buffer.from: it leaves a third of each page of Buffer's pool empty.
  const body = Buffer.allocUnsafe(Buffer.byteLength(text));
  body.write(text);
  return body;
}

/** Writes the instants into the room for them. */
function stamp(body: Buffer, now: Instant, start_before: Instant | null): void {
  body.set(timeBytes(now), UNTIL_TIME.length);
  body.set(deadlineBytes(start_before), UNTIL_START_BEFORE.length);
}

/**
 * The trigger event as a message, published at `now`, with the body that was made for these facts, which the instants are written
 * into: a body belongs to one message. It expires at `start_before` (null: never), which Postgres has computed as it did `now`
 * (two clocks are never compared).
 * @throws RangeError an instant is infinite
 */
export function triggerMessage(
  facts: TriggerFacts,
  body: Buffer,
  route: Route,
  now: Instant,
  start_before: Instant | null,
): Outgoing {
  stamp(body, now, start_before);
  return {
    exchange: route.exchange,
    routing_key: route.routing_key,
    body,
    message_id: eventId(facts.run_id, facts.attempt),
    type: `${facts.action}.v${facts.action_version}`,
    content_type: CONTENT_TYPE,
    priority: PRIORITY[facts.priority],
    expiration_ms: start_before === null ? undefined : expiration(start_before - now),
    headers: { traceparent: facts.traceparent },
  };
}

function expiration(expires_in_ms: number): number | undefined {
  if (expires_in_ms > LONGEST_EXPIRATION_MS) return undefined;
  return Math.max(0, Math.floor(expires_in_ms));
}
