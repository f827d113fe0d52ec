import { calendarPattern } from "../schedule/calendar.ts";
import type { Instant } from "../schedule/instant.ts";
import { timeZone } from "../schedule/time-zone.ts";
import { nextInZone, previousInZone } from "../schedule/wall-clock.ts";

/** When and where a word like "monday" is said. */
export interface Here {
  readonly now: Instant;
  readonly timezone: string;
}

const SAID = /^(?:(today|yesterday|tomorrow|[a-z]+|\d{4}-\d\d-\d\d)(?:[ T]|$))?(\d{1,2}:\d\d)?$/;
const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/**
 * A local day and time as people say them: `monday` or `mon`, `tomorrow 06:00`, `2026-11-23`, `18:30`. A day alone is its first
 * instant. What comes again and again, a weekday or a time, is the next one or the last one. null: none of that.
 */
export function readLocalMoment(text: string, { now, timezone }: Here, towards: "ahead" | "back"): Instant | null {
  const [said, day, time = "00:00"] = SAID.exec(text.toLowerCase()) ?? [];
  if (said === undefined || said === "") return null;
  try {
    const second = inWords(day, time, Math.floor(now / 1_000), timezone, towards);
    return Number.isFinite(second) ? second * 1_000 : null;
  } catch {
    // No such time, day, weekday or zone.
    return null;
  }
}

function inWords(day: string | undefined, time: string, now: number, timezone: string, towards: "ahead" | "back") {
  const times = local({ times: [time] }, timezone);
  const midnights = local({ times: ["00:00"] }, timezone);
  const today = midnights.atOrBefore(now);
  if (day === "today") return times.atOrAfter(today);
  if (day === "yesterday") return times.atOrAfter(midnights.atOrBefore(today - 1));
  if (day === "tomorrow") return times.atOrAfter(midnights.atOrAfter(today + 1));
  if (day !== undefined && /^\d/.test(day)) {
    return local({ times: [time], start_day: day, end_day: day }, timezone).atOrAfter(0);
  }
  // "sat" is saturday; a word that is no day is refused as it stands.
  const weekday = day === undefined || day.length < 3 ? day : (WEEKDAYS.find((one) => one.startsWith(day)) ?? day);
  const again = weekday === undefined ? times : local({ times: [time], days_of_week: [weekday] }, timezone);
  return towards === "ahead" ? again.atOrAfter(now + 1) : again.atOrBefore(now - 1);
}

// The calendars of schedules, clock changes included: a person is told of the same instants. In Unix seconds.
function local(calendar: object, timezone: string) {
  const [pattern, zone, policy] = [calendarPattern(calendar), timeZone(timezone), DST] as const;
  return {
    atOrAfter: (second: number) => nextInZone(pattern, zone, policy, second),
    atOrBefore: (second: number) => previousInZone(pattern, zone, policy, second),
  };
}

const DST = { gap: "next_valid", fold: "first" } as const;
