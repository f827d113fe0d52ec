import { type Instant, toIso } from "../schedule/instant.ts";
import type { Outgoing } from "./outgoing.ts";

/** Routing key of the service's own messages in the status queue. */
export const ECHO = "echo.v1";

/**
 * A message of the service to itself, through the status queue: when it comes back, everything that consumers had
 * confirmed before `at` has been read. `at` is the database's instant.
 */
export function echoMessage(prefix: string, at: Instant, id: string): Outgoing {
  return {
    exchange: `${prefix}.status`,
    routing_key: ECHO,
    body: String(at),
    message_id: id,
    type: ECHO,
    content_type: "text/plain",
    timestamp: Math.trunc(at / 1_000),
    headers: { time: toIso(at) },
  };
}

/** The instant of an echo, or null where the body is something else. */
export function readEcho(body: Buffer): Instant | null {
  const at = Number(body.toString("latin1"));
  return Number.isSafeInteger(at) && body.length > 0 ? at : null;
}
