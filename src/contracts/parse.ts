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
  return result.success ? { ok: true, value: result.data } : refuse(fieldErrors(result.error.issues, prefix));
}

function refuse(errors: readonly FieldError[]): Parsed<never> {
  return { ok: false, reason: errors.map((error) => `${error.field}: ${error.message}`).join("; "), errors };
}

function wrongType(expected: readonly string[], found: string): FieldError {
  return { field: "type", message: `expected ${expected.join(" or ")}, found ${JSON.stringify(found)}` };
}

type Issue = z.core.$ZodIssue;

function fieldErrors(issues: readonly Issue[], prefix: string): FieldError[] {
  return issues.flatMap((issue) => {
    const field = [prefix, ...issue.path.map(String)].filter((part) => part !== "").join(".");
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ field: field === "" ? key : `${field}.${key}`, message: "unknown field" }));
    }
    // The branch that was meant is the one with least wrong.
    if (issue.code === "invalid_union" && issue.errors.length > 0) {
      const branches = issue.errors.map((branch) => fieldErrors(branch, field));
      return branches.reduce((best, branch) => (branch.length < best.length ? branch : best));
    }
    return [{ field: field === "" ? "body" : field, message: issue.message }];
  });
}
