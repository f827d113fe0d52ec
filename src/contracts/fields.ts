import { z } from "zod";
import { fromIso } from "../schedule/instant.ts";
import { findUnstorable, unstorableText } from "./storable.ts";

/*
 * The building blocks of the message schemas. Every text is bounded and free of U+0000, which Postgres cannot store:
 * what passes its contract can be written, so one bad message never fails the batch it is written with.
 */

// \x00 and not \0 or \u0000: the one spelling that JavaScript, Python, Go and Java regular expressions share.
const NO_NUL = "^[^\\x00]*$";

/** Text of `min` to `max` characters (code points, as JSON Schema and Postgres count) that Postgres can store. */
export function text(min: number, max: number) {
  return z
    .string()
    .superRefine((value, context) => {
      const why = unstorableText(value) ?? wrongLength(value, min, max);
      if (why !== null) context.addIssue({ code: "custom", message: why });
    })
    .meta({ ...(min > 0 ? { minLength: min } : {}), maxLength: max, pattern: NO_NUL });
}

function wrongLength(value: string, min: number, max: number): string | null {
  if (value.length < min) return min === 1 ? "must not be empty" : `must have at least ${min} characters`;
  if (value.length <= max) return null;
  // Counting is only worth it where surrogate pairs make the difference.
  const characters = value.length > 2 * max ? value.length : [...value].length;
  return characters > max ? `must have at most ${max} characters, has ${characters}` : null;
}

/** Any JSON value that Postgres can store. */
export const json = z
  .unknown()
  .superRefine((value, context) => {
    const flaw = findUnstorable(value);
    if (flaw) context.addIssue({ code: "custom", path: flaw.path, message: flaw.why });
  })
  .meta({ id: "json", description: "Any JSON value without the character U+0000, at most 64 levels deep" });

/** A UUID of any version, as Postgres takes it; lower case afterwards, so that equal ids are equal strings. */
export const uuid = z
  .string()
  .regex(/^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/, "must be a UUID")
  .toLowerCase()
  .meta({ format: "uuid" });

/** An instant in ISO 8601 with its offset. */
export const instant = z
  .string()
  .refine((value) => fromIso(value) !== null, { error: "must be an ISO 8601 instant with its offset" })
  .meta({ format: "date-time" });

/** A duration that fits the database's integer columns. */
export const seconds = z.int().min(0).max(2_147_483_647);

/** AMQP short strings hold 255 bytes; names that become one are ASCII. */
export const shortText = text(1, 255);

export const ACTION_NAME = /^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*$/;

/** `<prefix>.work.<action>.v<version>.dead` has to fit a queue name of 255 bytes. */
export const actionName = z.string().max(128).regex(ACTION_NAME, 'must look like "scout.trigger" (lower case, dots)');

export const actionVersion = z.int().min(1).max(9999);
export const attempt = z.int().min(1).max(2_147_483_647);
export const priority = z.enum(["high", "normal", "low"]);

const MOST_METRICS = 200;

/** Name → finite number. */
export const metrics = z
  .record(text(1, 200), z.number())
  .refine((value) => Object.keys(value).length <= MOST_METRICS, {
    error: `must not have more than ${MOST_METRICS} entries`,
  })
  .meta({ maxProperties: MOST_METRICS });

export type Priority = z.infer<typeof priority>;
