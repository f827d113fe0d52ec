import { hash as digest } from "node:crypto";
import type { Instant } from "./instant.ts";

/**
 * The id of the run of one occurrence, computed so that the primary key is the guard: whichever instance fires an
 * occurrence, and however often, it is the same row and its events carry the same id.
 *
 * A UUID of version 8 (RFC 9562, 5.8) in version 7's layout: 48 bits of `scheduled_for`, then a hash of schedule and
 * instant. Ids are therefore ordered by time, like the drawn ones of manual runs. `salt` keeps backfilled runs apart
 * from what the schedule fired at the same instant, and children from each other.
 */
export function occurrenceRunId(scheduleId: string, scheduledFor: Instant, salt = ""): string {
  const hash = digest("sha256", `${scheduleId}:${scheduledFor}:${salt}`, "buffer");
  hash.writeUIntBE(Math.min(Math.max(0, Math.trunc(scheduledFor)), MAX_TIME), 0, 6);
  hash[6] = 0x80 | (hash[6]! & 0x0f);
  hash[8] = 0x80 | (hash[8]! & 0x3f);
  const hex = hash.toString("hex", 0, 16);
  // Joined, not concatenated: V8 keeps a concatenation as a tree of its parts, 372 bytes for an id instead of 66, and the
  // outlook keeps thousands of them.
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const MAX_TIME = 2 ** 48 - 1;

/** A whole number from 0 to `below - 1` that depends on nothing but the schedule and the occurrence. */
export function jitter(scheduleId: string, scheduledFor: Instant, below: number): number {
  if (below <= 0) return 0;
  return digest("sha256", `jitter:${scheduleId}:${scheduledFor}`, "buffer").readUIntBE(0, 6) % below;
}

/**
 * The W3C trace context of a run whose caller brought none: its trace id is the run's id, so that a trace can be found
 * by the run, and is the same in every attempt.
 */
export function runTraceparent(runId: string): string {
  const hex = runId.replaceAll("-", "");
  return ["00", hex, hex.slice(16), "01"].join("-");
}
