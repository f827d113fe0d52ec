import { isDataError } from "../database/connection.ts";

/**
 * Whether what was worked on is at fault, as against the database or the way to it: a value that Postgres cannot store, or
 * one that our own code trips over. Whoever works on a batch halves it then until the offender stands alone.
 */
export function isPoison(error: unknown): boolean {
  return isDataError(error) || error instanceof TypeError || error instanceof RangeError;
}
