/**
 * A point in time as Unix milliseconds. Instants are plain numbers everywhere in Pocketwatch: they compare
 * with `<`, survive JSON, and cannot be read in the wrong zone. `Infinity` is Postgres's `infinity`.
 * This file is the one home of the conversion to and from text.
 */
export type Instant = number;

/** `2026-11-21T07:00:00.012Z`; always UTC, always milliseconds. */
export function toIso(instant: Instant): string {
  return new Date(instant).toISOString();
}

/** Reads an ISO 8601 instant that names its offset; anything else is `null`. */
export function fromIso(text: string): Instant | null {
  if (!ISO_INSTANT.test(text)) return null;
  const instant = Date.parse(text);
  return Number.isNaN(instant) ? null : instant;
}

// Date.parse alone accepts local times ("2026-11-21T07:00"), which would silently mean this machine's zone.
const ISO_INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/i;

/** Reads what Postgres prints for a `timestamptz` in a session whose zone is UTC (`2026-11-21 07:00:00.012+00`). */
export function fromPostgres(text: string): Instant {
  if (text === "infinity") return Number.POSITIVE_INFINITY;
  if (text === "-infinity") return Number.NEGATIVE_INFINITY;
  return Date.parse(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`);
}

/** An instant as a Postgres parameter. */
export function toPostgres(instant: Instant): string {
  if (instant === Number.POSITIVE_INFINITY) return "infinity";
  if (instant === Number.NEGATIVE_INFINITY) return "-infinity";
  return new Date(instant).toISOString();
}

/** The same for a column that may be NULL. */
export function toPostgresOrNull(instant: Instant | null): string | null {
  return instant === null ? null : toPostgres(instant);
}
