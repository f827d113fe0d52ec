const LENGTH = 55;
// W3C Trace Context. All-zero ids and version ff are invalid by the standard.
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** Whether a caller's trace context can be passed on. Malformed ones are replaced, never refused (the standard). */
export function isTraceparent(text: unknown): text is string {
  if (typeof text !== "string" || text.length > 255 || !TRACEPARENT.test(text)) return false;
  // Only later versions may have more at the end.
  return text.length === LENGTH || !text.startsWith("00");
}
