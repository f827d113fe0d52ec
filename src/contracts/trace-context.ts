import { randomFillSync } from "node:crypto";

const LENGTH = 55;
// W3C Trace Context. All-zero ids and version ff are invalid by the standard.
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** Whether a caller's trace context can be passed on. Malformed ones are replaced, never refused (the standard). */
export function isTraceparent(text: unknown): text is string {
  if (typeof text !== "string" || text.length > 255 || !TRACEPARENT.test(text)) return false;
  // Only later versions may have more at the end.
  return text.length === LENGTH || !text.startsWith("00");
}

// One call for many ids: asking the system for 24 bytes costs about as much as asking for 6,000.
const ID_BYTES = 24;
const pool = Buffer.allocUnsafe(ID_BYTES * 256);
let used = pool.length;

/** A new trace context, sampled. */
export function newTraceparent(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const hex = pool.toString("hex", used, used + ID_BYTES);
  used += ID_BYTES;
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}
