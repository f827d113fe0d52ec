import { z } from "zod";
import { shortText, text } from "../contracts/fields.ts";
import { fromIso, type Instant, toIso } from "../schedule/instant.ts";
import { EARLIEST, LATEST } from "../schedule/recurrence.ts";

const NO_MOMENT = 'must be an ISO 8601 instant with its offset, such as "2026-11-21T07:00:00Z"';

/** An instant as text in a request, as a number afterwards. */
export const moment = z
  .string(NO_MOMENT)
  .transform((value, context): Instant => {
    const instant = fromIso(value);
    if (instant !== null && instant >= EARLIEST && instant <= LATEST) return instant;
    const message = instant === null ? NO_MOMENT : "must be an instant of the years 1970 to 9999";
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  })
  .meta({ format: "date-time" });

export const answeredMoment = z.string().meta({ format: "date-time" });

/** Postgres's `infinity` is beyond what ISO 8601 can say, and means "until further notice" where it occurs. */
export function toIsoOrNull(instant: Instant | null): string | null {
  return instant === null || !Number.isFinite(instant) ? null : toIso(instant);
}

/** `?status=failed,skipped` or `?status=failed&status=skipped`. */
export function listOf<Item extends z.ZodType<unknown, string>>(item: Item) {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((value) => [value].flat().flatMap((one) => one.split(",")))
    .pipe(z.array(item).min(1).max(50))
    .meta({ description: "one, or several separated by commas" });
}

/** Names may hold commas, so several are several parameters. */
export const names = z
  .union([shortText, z.array(shortText).max(50)])
  .transform((value) => [value].flat())
  .meta({ description: "may be given several times" });

/** `?label=team=ops&label=critical`: a label with its value, or a label that has to be there. */
const labelFilter = z
  .union([text(1, 600), z.array(text(1, 600)).max(20)])
  .transform((value) => [value].flat())
  // The last of them alone would find what was not asked for.
  .refine((given) => !hasTwoValues(given), { error: "must not give one label two values, which none can have" })
  .meta({ description: "name=value, or a name that has to be there; may be given several times" });

function hasTwoValues(given: readonly string[]): boolean {
  const names = [...new Set(given)].filter((one) => one.includes("=")).map((one) => one.slice(0, one.indexOf("=")));
  return new Set(names).size < names.length;
}

export const labelQuery = { label: labelFilter.optional() };

export function toLabelFilter(given: readonly string[] | undefined) {
  if (given === undefined) return { labels: undefined, label_names: undefined };
  const pairs = given.filter((one) => one.includes("="));
  const alone = given.filter((one) => !one.includes("="));
  return {
    labels:
      pairs.length === 0
        ? undefined
        : Object.fromEntries(pairs.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)])),
    label_names: alone.length === 0 ? undefined : alone,
  };
}

export const labels = z
  .record(text(1, 255), text(0, 1_024))
  .refine((value) => Object.keys(value).length <= 100, { error: "must not have more than 100 entries" })
  .describe("Names and values of your own, to find and to group by");

/** A whole number in a query. */
export function wholeQuery(least: number, most: number, initial: number) {
  const message = `expected a whole number from ${least} to ${most}`;
  return z
    .string(message)
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .pipe(z.int().min(least, message).max(most, message))
    .default(initial)
    .meta({ description: `${least} to ${most}; ${initial} unless given` });
}

export const flagQuery = z
  .enum(["true", "false"])
  .transform((value) => value === "true")
  .optional();
