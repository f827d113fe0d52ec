import { fromIso, type Instant, toIso } from "../schedule/instant.ts";
import { type Here, readLocalMoment } from "./local-moments.ts";

/* Instants and durations as people write and read them. */

const UNITS = { w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1 } as const;

/** `90`, `90s`, `5m`, `1h30m`, `2d` → seconds; null: not a duration. */
export function readDuration(text: string): number | null {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  if (!/^(\d{1,10}[wdhms])+$/.test(text)) return null;
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([wdhms])/g)) seconds += Number(count) * UNITS[unit as "s"];
  return seconds;
}

export function showDuration(seconds: number): string {
  let rest = Math.round(seconds);
  if (rest === 0 && seconds === 0) return "0s";
  if (seconds < 1) return `${Math.round(seconds * 1_000)}ms`;
  // Rounding matters where it is a good part of the whole.
  if (seconds < 9.95 && seconds !== rest) return `${seconds.toFixed(1)}s`;
  let text = "";
  for (const [unit, size] of Object.entries(UNITS)) {
    // "14d", not "2w": weeks are how nobody counts a timeout.
    if (unit === "w" || rest < size) continue;
    text += `${Math.floor(rest / size)}${unit}`;
    rest %= size;
  }
  return text;
}

/** An instant with its offset, how far ahead it is (`+2h`), or a local day and time (`monday 06:00`); null: none. */
export function readMoment(text: string, here: Here): Instant | null {
  if (!text.startsWith("+")) return fromIso(text) ?? readLocalMoment(text, here, "ahead");
  const seconds = readDuration(text.slice(1));
  return seconds === null ? null : here.now + seconds * 1_000;
}

/** An instant with its offset, how long ago it is (`12h`), or a local day and time (`yesterday`); null: none. */
export function readPastMoment(text: string, here: Here): Instant | null {
  const seconds = readDuration(text);
  if (seconds !== null) return here.now - seconds * 1_000;
  return fromIso(text) ?? readLocalMoment(text, here, "back");
}

export const MOMENT_HINT =
  'expected an instant with its offset ("2026-11-23T06:00:00Z"), a time from now ("+2h") or a local one ("monday 06:00")';
export const PAST_HINT =
  'expected how long ago ("12h"), a local day or time ("yesterday", "monday 06:00") or an instant with its offset';

/** `2026-11-21 07:00Z`; seconds where there are any. */
export function showMoment(iso: string): string {
  const [day, time = ""] = iso.split("T");
  const [hours, minutes, rest = ""] = time.replace(/Z$/, "").split(":");
  const seconds = rest.split(".", 1)[0];
  return `${day} ${hours}:${minutes}${seconds === "00" || seconds === "" ? "" : `:${seconds}`}Z`;
}

/** `3h ago`, `in 12m`: the largest unit is enough to find one's way. */
export function showDistance(iso: string, now: Instant): string {
  const seconds = ((fromIso(iso) ?? now) - now) / 1_000;
  const size = Math.abs(seconds);
  if (size < 1) return "now";
  const [unit, length] = Object.entries(UNITS).find(([name, each]) => name !== "w" && size >= each) ?? ["s", 1];
  const count = `${Math.floor(size / length)}${unit}`;
  return seconds < 0 ? `${count} ago` : `in ${count}`;
}

/** An instant and how far away it is. */
export function showMomentAndDistance(iso: string, now: Instant): string {
  return `${showMoment(iso)} (${showDistance(iso, now)})`;
}

/** Local date and time in a zone: `Mon 2026-11-23 09:00:00 GMT+1`. */
export function showLocal(iso: string, timezone: string): string {
  const format = new Intl.DateTimeFormat("en-GB", {
    ...{ timeZone: timezone, weekday: "short", year: "numeric", month: "2-digit", day: "2-digit" },
    ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "shortOffset" },
  } as const);
  const parts = Object.fromEntries(format.formatToParts(fromIso(iso)!).map(({ type, value }) => [type, value]));
  const { weekday, year, month, day, hour, minute, second, timeZoneName } = parts;
  return `${weekday} ${year}-${month}-${day} ${hour}:${minute}:${second} ${timeZoneName}`;
}

export function clockTime(now: Instant): string {
  return toIso(now).slice(11, 19);
}
