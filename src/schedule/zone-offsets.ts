import { BoundedCache } from "./bounded-cache.ts";

/**
 * Reads a zone's offset changes out of `Intl.DateTimeFormat`, the only door to the runtime's own time zone data: probe in
 * steps, then halve each step that holds a change. About 200 calls of 0.7 µs for a year of one zone, done once.
 */

/**
 * A stretch of time in which a zone's offset does not change. All numbers are seconds. A span may end without a change
 * (at the edge of a chunk); the offset before or after is then the same, and there is neither gap nor fold.
 */
export interface OffsetSpan {
  /** First second of the span, since the Unix epoch. */
  readonly from: number;
  /** First second after it. */
  readonly until: number;
  /** Local time minus UTC. */
  readonly offset: number;
  readonly offset_before: number;
  readonly offset_after: number;
}

/**
 * Three days. Two changes within one step that cancel out would be missed; the closest pair of 1970 to 2040 in tzdata
 * 2025c lies 7 days apart (America/Noronha 2000, Asia/Gaza 2040).
 */
const STEP = 3 * 86_400;

/** The spans of constant offset that cover [from, until), both in seconds since the epoch. */
export function offsetSpans(zone: string, from: number, until: number): readonly OffsetSpan[] {
  const format = formats.get(
    zone,
    () => new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" }),
  );
  const spans: OffsetSpan[] = [];
  let span_from = from;
  let offset_before = offsetAt(format, from - 1);
  let offset = offsetAt(format, from);

  for (let probe = from; probe < until; ) {
    const next = Math.min(probe + STEP, until);
    const found = offsetAt(format, next);
    if (found === offset) {
      probe = next;
      continue;
    }
    // `change` is the first second that no longer has `offset`, whatever comes after it within the step.
    let unchanged = probe;
    let change = next;
    while (change - unchanged > 1) {
      const middle = Math.floor((unchanged + change) / 2);
      if (offsetAt(format, middle) === offset) unchanged = middle;
      else change = middle;
    }
    const offset_after = offsetAt(format, change);
    if (change < until) {
      spans.push({ from: span_from, until: change, offset, offset_before, offset_after });
      span_from = change;
      offset_before = offset;
      offset = offset_after;
    }
    probe = change;
  }
  spans.push({ from: span_from, until, offset, offset_before, offset_after: offsetAt(format, until) });
  return spans;
}

/** An ICU formatter holds tens of kilobytes, so only those in use are kept. */
const formats = new BoundedCache<string, Intl.DateTimeFormat>(16);

/** Local time minus UTC in seconds, read from a text such as `3/29/2026, GMT+02:00` (seconds occur before 1972). */
function offsetAt(format: Intl.DateTimeFormat, second: number): number {
  const text = format.format(second * 1000);
  const sign = text.indexOf("GMT") + 3;
  if (sign === text.length) return 0;
  const [hours = 0, minutes = 0, seconds = 0] = text
    .slice(sign + 1)
    .split(":")
    .map(Number);
  const offset = hours * 3600 + minutes * 60 + seconds;
  return text[sign] === "-" ? -offset : offset;
}
