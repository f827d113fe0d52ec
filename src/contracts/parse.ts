import { isUtf8 } from "node:buffer";
import type { z } from "zod";
import type { FieldError } from "../schedule/errors.ts";
import { type CloudEvent, cloudEvent } from "./cloud-event.ts";
import { COMMANDS, type CommandType, type MessageData, type MessageType, messages } from "./messages.ts";

/** What was read, or why it could not be: `reason` is one line in words that names the field. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string; readonly errors: readonly FieldError[] };

/** A message of a known type: the envelope with its `data` checked. */
export interface Message<T extends MessageType> {
  readonly id: string;
  readonly source: string;
  readonly type: T;
  readonly traceparent?: string | null | undefined;
  readonly data: MessageData<T>;
}

/** A command of any kind, told apart by `type`. */
export type Command = { [T in CommandType]: Message<T> }[CommandType];

/** Reads the CloudEvents envelope. Never throws, whatever the bytes. */
export function parseEnvelope(body: Buffer): Parsed<CloudEvent> {
  if (!isUtf8(body)) return refuse([{ field: "body", message: "expected UTF-8 text" }]);
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return refuse([{ field: "body", message: "expected JSON" }]);
  }
  return check(cloudEvent, value, "");
}

/** Reads a message that can only be of one type. */
export function parseMessage<T extends MessageType>(type: T, body: Buffer): Parsed<Message<T>> {
  const envelope = parseEnvelope(body);
  if (!envelope.ok) return envelope;
  if (envelope.value.type !== type) return refuse([wrongType([type], envelope.value.type)]);
  return withData(type, envelope.value);
}

/** Reads a command of any kind. */
export function parseCommand(body: Buffer): Parsed<Command> {
  const envelope = parseEnvelope(body);
  if (!envelope.ok) return envelope;
  const type = COMMANDS.find((known) => known === envelope.value.type);
  if (type === undefined) return refuse([wrongType(COMMANDS, envelope.value.type)]);
  return withData(type, envelope.value) as Parsed<Command>;
}

function withData<T extends MessageType>(type: T, envelope: CloudEvent): Parsed<Message<T>> {
  const data = check(messages[type] as z.ZodType as z.ZodType<MessageData<T>>, envelope.data, "data");
  if (!data.ok) return data;
  const { id, source, traceparent } = envelope;
  return { ok: true, value: { id, source, type, traceparent, data: data.value } };
}

/** Checks a parsed value against a schema; `prefix` is put before every field. */
export function check<T>(schema: z.ZodType<T>, value: unknown, prefix: string): Parsed<T> {
  const result = schema.safeParse(value);
  if (result.success) return { ok: true, value: result.data };
  return refuse(fieldErrors(result.error.issues, value, prefix === "" ? [] : [prefix]));
}

const MOST_IN_REASON = 5;

function refuse(errors: readonly FieldError[]): Parsed<never> {
  const told = errors.slice(0, MOST_IN_REASON).map((error) => `${error.field}: ${error.message}`);
  if (errors.length > MOST_IN_REASON) told.push(`and ${errors.length - MOST_IN_REASON} more`);
  return { ok: false, reason: told.join("; "), errors };
}

function wrongType(expected: readonly string[], found: string): FieldError {
  return { field: "type", message: `expected ${expected.join(" or ")}, found ${JSON.stringify(found)}` };
}

type Issue = z.core.$ZodIssue;

/** `value` is what the issues' paths lead into, `above` the path to it. */
function fieldErrors(issues: readonly Issue[], value: unknown, above: readonly PropertyKey[]): FieldError[] {
  return issues.flatMap((issue) => {
    const path = [...above, ...issue.path];
    switch (issue.code) {
      case "unrecognized_keys":
        return issue.keys.map((key) => ({ field: dotted([...path, key]), message: "unknown field" }));
      case "invalid_key":
        // The last step is the name at fault, which cannot be shown as it is.
        return {
          field: dotted(path.slice(0, -1)),
          message: `field names ${issue.issues[0]?.message ?? issue.message}`,
        };
      case "invalid_union": {
        // The branch that was meant is the one with least wrong.
        const branches = issue.errors.map((branch) => fieldErrors(branch, valueAt(value, issue.path), path));
        return branches.reduce((best, branch) => (branch.length < best.length ? branch : best), branches[0] ?? []);
      }
      default: {
        const missing = path.length > 0 && valueAt(value, issue.path) === undefined;
        return { field: dotted(path), message: missing ? "is required" : issue.message };
      }
    }
  });
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}

/** Safe to store and to log: names come from whoever sent the message. */
function dotted(path: readonly PropertyKey[]): string {
  const text = path
    .map(String)
    .join(".")
    .replace(/[\p{Cc}\p{Surrogate}]/gu, "\u{fffd}");
  if (text.length === 0) return "body";
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
