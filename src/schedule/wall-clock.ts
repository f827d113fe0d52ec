import { countLocal, type LocalPattern, nextLocal, previousLocal } from "./calendar-walk.ts";
import type { Zone } from "./time-zone.ts";
import type { OffsetSpan } from "./zone-offsets.ts";

/** What becomes of local times that do not exist (gap) or exist twice (fold) because the zone changes its offset. */
export interface DstPolicy {
  readonly gap: "next_valid" | "skip";
  readonly fold: "first" | "second" | "both";
}

/** No zone has turned its clocks back by more than a day; twice that, to be safe. */
const LONGEST_FOLD = 2 * 86_400;

/**
 * Maps the local occurrences of a pattern to instants, span of constant offset by span. Inside a span local time is UTC
 * plus a constant; everything special happens where one span ends and the next begins:
 *
 * - the clock jumps forward: the local seconds in between (the gap) never occur. With `next_valid` all of them together
 *   stand for one occurrence, the first second of the new span;
 * - the clock jumps back: the local seconds in between (the fold) occur at the end of the old span and again at the
 *   beginning of the new one, and the policy strikes out one or neither of the two.
 *
 * All numbers are whole Unix seconds. Returns the first occurrence at or after `second`, or Infinity.
 */
export function nextInZone(pattern: LocalPattern, zone: Zone, policy: DstPolicy, second: number): number {
  let at = second;
  // The last answer of the walk: no local occurrence lies in [asked, local). Saves walking again in every span when the
  // next occurrence is years away.
  let asked = Number.POSITIVE_INFINITY;
  let local = Number.NEGATIVE_INFINITY;

  for (;;) {
    const span = zone.spanAt(at);
    if (at === span.from && hasGap(span, policy)) {
      const gap = span.from + span.offset_before;
      if (gap < asked || gap > local) {
        asked = gap;
        local = nextLocal(pattern, gap);
      }
      if (local < span.from + span.offset) return span.from;
    }
    const from = Math.max(at + span.offset, firstLocal(span, policy));
    if (from < asked || from > local) {
      asked = from;
      local = nextLocal(pattern, from);
    }
    if (local < untilLocal(span, policy)) return local - span.offset;
    // Not at once: a fold within the next hours would repeat local times before `from`.
    if (local === Number.POSITIVE_INFINITY && at - second > LONGEST_FOLD) return Number.POSITIVE_INFINITY;
    at = span.until;
  }
}

/** The last occurrence at or before `second` (not before 1970), or -Infinity. */
export function previousInZone(pattern: LocalPattern, zone: Zone, policy: DstPolicy, second: number): number {
  let at = second;
  while (at >= 0) {
    const span = zone.spanAt(at);
    const last = Math.min(at + span.offset, untilLocal(span, policy) - 1);
    const local = previousLocal(pattern, last);
    if (local >= firstLocal(span, policy)) return local - span.offset;
    if (hasGap(span, policy)) {
      const skipped = previousLocal(pattern, span.from + span.offset - 1);
      if (skipped >= span.from + span.offset_before) return span.from;
    }
    if (local === Number.NEGATIVE_INFINITY && second - at > LONGEST_FOLD) return Number.NEGATIVE_INFINITY;
    at = span.from - 1;
  }
  return Number.NEGATIVE_INFINITY;
}

/** How many occurrences lie in [from, until); stops counting once `limit` is reached. */
export function countInZone(
  pattern: LocalPattern,
  zone: Zone,
  policy: DstPolicy,
  from: number,
  until: number,
  limit: number,
): number {
  let count = 0;
  for (let at = from; at < until && count < limit; ) {
    const span = zone.spanAt(at);
    const first_local = firstLocal(span, policy);
    const until_local = Math.min(until + span.offset, untilLocal(span, policy));
    if (at === span.from && hasGap(span, policy)) {
      const gap_until = span.from + span.offset;
      const gap_hit = nextLocal(pattern, span.from + span.offset_before) < gap_until;
      // Merged with the occurrence that the new span itself begins with, if it does.
      if (gap_hit && nextLocal(pattern, gap_until) !== gap_until) count += 1;
    }
    count += countLocal(pattern, Math.max(at + span.offset, first_local), until_local, limit - count);
    at = span.until;
  }
  return Math.min(count, limit);
}

/** Whether the occurrence at `second` stands for local times that a gap swallowed, or has a local time that exists twice. */
export function dstEffectAt(
  pattern: LocalPattern,
  zone: Zone,
  policy: DstPolicy,
  second: number,
): "gap" | "fold" | null {
  const span = zone.spanAt(second);
  const local = second + span.offset;
  if (span.offset_before > span.offset && local < span.from + span.offset_before) return "fold";
  if (span.offset_after < span.offset && local >= span.until + span.offset_after) return "fold";
  if (second !== span.from || !hasGap(span, policy)) return null;
  return nextLocal(pattern, span.from + span.offset_before) < local ? "gap" : null;
}

function hasGap(span: OffsetSpan, policy: DstPolicy): boolean {
  return span.offset_before < span.offset && policy.gap === "next_valid";
}

/** The first local second of the span that counts: under `first`, what it repeats of the span before does not. */
function firstLocal(span: OffsetSpan, policy: DstPolicy): number {
  return span.from + (policy.fold === "first" ? Math.max(span.offset, span.offset_before) : span.offset);
}

/** The first local second after the span: under `second`, what the next span repeats does not count here. */
function untilLocal(span: OffsetSpan, policy: DstPolicy): number {
  return span.until + (policy.fold === "second" ? Math.min(span.offset, span.offset_after) : span.offset);
}
