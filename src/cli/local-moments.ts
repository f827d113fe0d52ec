import type { Instant } from "../schedule/instant.ts";
import { nextOccurrence, previousOccurrence, type Recurrence } from "../schedule/recurrence.ts";
import { compileRecurrence } from "../schedule/timing.ts";

/** When and where a word like "monday" is said. */
export interface Here {
  readonly now: Instant;
  readonly timezone: string;
}

const SAID = /^(?:(today|yesterday|tomorrow|[a-z]+day|\d{4}-\d\d-\d\d)(?:[ T]|$))?(\d{1,2}:\d\d)?$/;

/**
 * A local day and time as people say them: `monday`, `tomorrow 06:00`, `2026-11-23`, `18:30`. A day alone is its first
 * instant. What comes again and again, a weekday or a time, is the next one or the last one. null: none of that.
 */
export function readLocalMoment(text: string, here: Here, towards: "ahead" | "back"): Instant | null {
  const [said, day, time = "00:00"] = SAID.exec(text.toLowerCase()) ?? [];
  if (said === undefined || said === "") return null;
  const nearest = (recurrence: Recurrence | null) => {
    if (recurrence === null) return null;
    return towards === "ahead" ? nextOccurrence(recurrence, here.now) : previousOccurrence(recurrence, here.now);
  };
  switch (day) {
    case undefined:
      return nearest(local(here, { times: [time] }));
    case "today":
    case "yesterday":
    case "tomorrow":
      return onDay(here, time, day);
  }
  if (/^\d/.test(day)) {
    const recurrence = local(here, { times: [time], start_day: day, end_day: day });
    return recurrence === null ? null : nextOccurrence(recurrence, Number.NEGATIVE_INFINITY);
  }
  return nearest(local(here, { times: [time], days_of_week: [day] }));
}

function onDay(here: Here, time: string, day: "today" | "yesterday" | "tomorrow"): Instant | null {
  const midnights = local(here, { times: ["00:00"] })!;
  const today = previousOccurrence(midnights, here.now + 1)!;
  const others = { today, yesterday: previousOccurrence(midnights, today), tomorrow: nextOccurrence(midnights, today) };
  const times = local(here, { times: [time] });
  return times === null ? null : nextOccurrence(times, others[day]! - 1);
}

// The rules of schedules, clock changes included, are the ones a person is told about.
function local({ timezone }: Here, calendar: object): Recurrence | null {
  const unused = { cron_expression: null, interval_seconds: null, interval_anchor: null, run_at: null };
  try {
    return compileRecurrence({
      ...unused,
      ...{ name: "", kind: "calendar", calendar, timezone, dst_gap: "next_valid", dst_fold: "first" },
      ...{ starts_at: null, ends_at: null, created_at: 0 },
    });
  } catch {
    return null;
  }
}
