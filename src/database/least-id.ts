import type { Instant } from "../schedule/instant.ts";

/*
 * Run ids begin with an instant, so a span of time is a range of ids. The least id of an instant, in JavaScript and in SQL.
 */

export function idAt(instant: Instant): string {
  const milliseconds = Math.min(Math.max(0, Math.trunc(instant)), 2 ** 48 - 1);
  const hex = milliseconds.toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** @param instant an SQL expression of type `timestamptz`, from 1970 on */
export function sqlIdAt(instant: string): string {
  return `(lpad(to_hex((extract(epoch FROM ${instant}) * 1000)::bigint), 12, '0') || '${"0".repeat(20)}')::uuid`;
}
