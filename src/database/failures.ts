import { InvalidInput, Unavailable } from "../schedule/errors.ts";
import { brokenConstraint, sqlState } from "./connection.ts";

/*
 * What Postgres's own errors mean to whoever asked for something. Decided by SQLSTATE, never by an error's text.
 */

/** Connection exception, insufficient resources, operator intervention (shutdown, statement time-out), system error. */
const AWAY = ["08", "53", "57", "58"];
/** Serialization failure, deadlock, lock time-out, a server that is only read from: another attempt may succeed. */
const BUSY = ["40001", "40P01", "55P03", "25006"];
/** A transaction this process left idle for too long was ended. */
const IDLE = "25P03";
const CHECK_VIOLATION = "23514";

/** A database error as one that says what the caller can do; any other error as it is. */
export function asAnswer(error: unknown): unknown {
  const state = sqlState(error);
  if (state === null) return error;
  if (AWAY.includes(state.slice(0, 2)) || state === IDLE) {
    return new Unavailable("the database is away or too slow to answer", { cause: error });
  }
  if (BUSY.includes(state)) return new Unavailable("somebody else is busy with the same thing", { cause: error });
  if (state === CHECK_VIOLATION) {
    const constraint = brokenConstraint(error) ?? "a rule of the table";
    return new InvalidInput([{ field: fieldOf(constraint), message: `breaks ${constraint}` }]);
  }
  // Classes 22 and 54: a value that Postgres cannot take, or more than it can.
  if (state.startsWith("22") || state.startsWith("54")) {
    return new InvalidInput([{ field: "body", message: "holds a value that cannot be stored" }]);
  }
  return error;
}

/** `schedules_max_runs` → `max_runs`. */
function fieldOf(constraint: string): string {
  return constraint.replace(/^[a-z]+_/, "");
}
