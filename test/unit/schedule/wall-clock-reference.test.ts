import { expect, test } from "vitest";
import { countOccurrences } from "../../../src/schedule/recurrence.ts";
import type { Timing } from "../../../src/schedule/timing.ts";
import { backwards, cron, forwards, iso, seeded } from "./timings.ts";

/**
 * The reference asks Intl for the local time of every single minute around a clock change and decides by looking at
 * the list. Slow and free of arithmetic, so it is right if the four rules in `expectedOccurrences` are.
 */
const MINUTE = 60_000;
const FROM = Date.UTC(2000, 0, 1);
const UNTIL = Date.UTC(2041, 0, 1);
const EXPRESSIONS_PER_CHANGE = 2;

const zones = [...Intl.supportedValuesOf("timeZone"), "UTC"];

test.each(chunks(zones, 60))(
  "every clock change 2000 to 2040, minute by minute: %s …",
  { timeout: 120_000 },
  (...group) => {
    for (const zone of group) checkZone(zone);
  },
);

test("the reference has something to check", () => {
  expect(zones.length).toBeGreaterThan(400);
  expect(clockChanges(localClock("Europe/Berlin"))).toHaveLength(82);
});

function checkZone(zone: string): void {
  const clock = localClock(zone);
  const random = seeded(zones.indexOf(zone));
  for (const { before, after } of clockChanges(clock)) {
    // Wide enough that what the change displaces lies inside, even where a whole day is skipped.
    const jump = Math.abs(clock(after) - clock(before) - MINUTE);
    const from = before - jump - 90 * MINUTE;
    const until = after + jump + 90 * MINUTE;
    const minutes: Minute[] = [];
    for (let instant = from; instant < until; instant += MINUTE) minutes.push({ instant, local: clock(instant) });

    for (let i = 0; i < EXPRESSIONS_PER_CHANGE; i++) {
      const sample = draw(random, clock(before));
      const recurrence = cron(sample.expression, { timezone: zone, ...sample.policy });
      const expected = expectedOccurrences(minutes, sample);
      const context = `${zone} ${iso(after)} "${sample.expression}" ${JSON.stringify(sample.policy)}`;
      expect(forwards(recurrence, from, until).map(iso), context).toEqual(expected.map(iso));
      expect(backwards(recurrence, from, until).map(iso), `${context} backwards`).toEqual(expected.map(iso));
      expect(countOccurrences(recurrence, from - 1, until - 1, 10_000), `${context} counted`).toBe(expected.length);
      const middle = minutes[random(minutes.length)] as Minute;
      const rest = expected.filter((instant) => instant > middle.instant).length;
      expect(countOccurrences(recurrence, middle.instant, until - 1, 10_000), `${context} counted`).toBe(rest);
    }
  }
}

interface Minute {
  readonly instant: number;
  /** What the wall clock shows, as if it were UTC. */
  readonly local: number;
}

interface Sample {
  readonly expression: string;
  readonly matches: (local: number) => boolean;
  readonly every_hour: boolean;
  readonly policy: Pick<Timing, "dst_gap" | "dst_fold">;
}

function expectedOccurrences(minutes: readonly Minute[], { matches, every_hour, policy }: Sample): number[] {
  // Every hour: an instant is an occurrence when its own local time matches.
  if (every_hour && policy.dst_fold === null) {
    return minutes.filter(({ local }) => matches(local)).map(({ instant }) => instant);
  }
  const found = new Set<number>();
  const instantsOf = new Map<number, number[]>();
  for (const { instant, local } of minutes) instantsOf.set(local, [...(instantsOf.get(local) ?? []), instant]);
  const end = (minutes.at(-1) as Minute).local;
  for (let local = (minutes[0] as Minute).local; local <= end; local += MINUTE) {
    if (!matches(local)) continue;
    const instants = instantsOf.get(local) ?? [];
    if (instants.length === 0) {
      // A gap: the first minute whose wall clock is past it.
      const after = minutes.findIndex(
        (minute, i) => i > 0 && (minutes[i - 1] as Minute).local < local && local < minute.local,
      );
      if (policy.dst_gap === "next_valid") found.add((minutes[after] as Minute).instant);
    } else if (policy.dst_fold === "both") for (const instant of instants) found.add(instant);
    else found.add((policy.dst_fold === "second" ? instants.at(-1) : instants[0]) as number);
  }
  return [...found].sort((a, b) => a - b);
}

/** A random expression that has something to do with the hours around a clock change. */
function draw(random: (below: number) => number, local: number): Sample {
  const around = Math.floor(local / (60 * MINUTE));
  const minutes = [[0], [30], [random(60)], [0, 15, 30, 45], [random(30), 30 + random(30)], range(0, 59)][
    random(6)
  ] as number[];
  const near = () => (((around - 2 + random(5)) % 24) + 24) % 24;
  const hours = [range(0, 23), [near()], [...new Set([near(), near(), near()])], range(0, 23, 2)][
    random(4)
  ] as number[];
  const weekdays = random(4) === 0 ? [random(7), random(7), random(7), random(7)] : range(0, 6);
  const expression = `${minutes.join()} ${hours.length === 24 ? "*" : hours.join()} * * ${[...new Set(weekdays)].join()}`;
  return {
    expression,
    matches: (time) => {
      const date = new Date(time);
      return (
        minutes.includes(date.getUTCMinutes()) &&
        hours.includes(date.getUTCHours()) &&
        weekdays.includes(date.getUTCDay())
      );
    },
    every_hour: hours.length === 24,
    policy: {
      dst_gap: (["next_valid", "skip"] as const)[random(2)] as "next_valid" | "skip",
      dst_fold: ([null, "first", "second", "both"] as const)[random(4)] as Timing["dst_fold"],
    },
  };
}

/** Pairs of neighbouring minutes between which the wall clock does not advance by one minute. */
function clockChanges(clock: (instant: number) => number): { before: number; after: number }[] {
  const changes: { before: number; after: number }[] = [];
  const offset = (instant: number) => clock(instant) - instant;
  const step = 2 * 86_400_000;
  for (let probe = FROM, old = offset(FROM), now = old; probe < UNTIL; probe += step, old = now) {
    now = offset(probe + step);
    if (now === old) continue;
    let before = probe;
    let after = probe + step;
    while (after - before > MINUTE) {
      const middle = before + Math.floor((after - before) / 2 / MINUTE) * MINUTE;
      if (offset(middle) === old) before = middle;
      else after = middle;
    }
    changes.push({ before, after });
  }
  return changes;
}

function localClock(timeZone: string): (instant: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
  return (instant) => {
    const text = format.format(instant); // 03/29/2026, 03:00
    const part = (from: number, to: number) => Number(text.slice(from, to));
    return Date.UTC(part(6, 10), part(0, 2) - 1, part(3, 5), part(12, 14), part(15, 17));
  };
}

function range(from: number, to: number, step = 1): number[] {
  const values: number[] = [];
  for (let value = from; value <= to; value += step) values.push(value);
  return values;
}

function chunks(all: readonly string[], size: number): string[][] {
  return all.length === 0 ? [] : [all.slice(0, size), ...chunks(all.slice(size), size)];
}
