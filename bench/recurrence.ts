/**
 * How long it takes to find the next occurrence, beside cron-parser and croner, measured in the same run:
 * `npx tsx bench/recurrence.ts`. A measurement is the mean over many instants of 2026 for one expression in one zone; a round's
 * figure is the median of those.
 */

import { CronExpressionParser } from "cron-parser";
import { Cron } from "croner";
import { nextOccurrence } from "../src/schedule/recurrence.ts";
import { compileRecurrence, type Timing } from "../src/schedule/timing.ts";
import { median } from "./support/figures.ts";
import { report } from "./support/report.ts";

const EXPRESSIONS = [
  "* * * * *",
  "*/5 * * * *",
  "*/15 * * * * *",
  "0 * * * *",
  "0 0 * * *",
  "30 2 * * *",
  "17 3,15 * * *",
  "0 9-17 * * MON-FRI",
  "*/10 8-18 * * 1-5",
  "0 0 1 * *",
  "0 6 1,15 * *",
  "0 0 L * *",
  "0 0 13 * FRI",
  "0 12 * * 5L",
  "0 12 * * MON#1",
  "0 0 31 * *",
  "0 0 1 1 *",
  "30 1 31 3,5,7 *",
  "0 0 29 2 *",
  "H H * * *",
];
const LIMIT_MICROSECONDS = { utc: 3, dst: 6 };

const YEAR = Date.UTC(2026, 0, 1);
const random = lcg(1);
const INSTANTS = Array.from({ length: 1_000 }, () => YEAR + Math.floor(random() * 365 * 86_400) * 1_000);

const ROUNDS = 5;
const ZONES_PER_ROUND = 10;

function main(): void {
  const zones = zonesWithDst();
  // Once for nothing, so that nobody is measured before the JIT has compiled it.
  for (const zone of ["UTC", "Europe/Berlin", "America/New_York"]) measureAll(zone);
  const rounds = Array.from({ length: ROUNDS }, (_, round) => ({
    utc: measureAll("UTC"),
    dst: zones.slice(round * ZONES_PER_ROUND, (round + 1) * ZONES_PER_ROUND).flatMap(measureAll),
  }));
  const [first] = rounds[0]!.utc;
  console.error(`Node ${process.version}, ${EXPRESSIONS.length} expressions, microseconds per call: median (worst)\n`);
  console.error(`${"".padEnd(34)}${"UTC".padStart(18)}${"zones with DST".padStart(26)}`);
  for (const name of Object.keys(first!) as (keyof Measured)[]) {
    const utc = cell(
      rounds.flatMap((round) => round.utc),
      name,
    );
    const dst = cell(
      rounds.flatMap((round) => round.dst),
      name,
    );
    console.error(`${name.padEnd(34)}${utc.padStart(18)}${dst.padStart(26)}`);
  }
  measureCompilation();
  for (const [zone, words] of [
    ["utc", "UTC"],
    ["dst", "zones with DST"],
  ] as const) {
    const of = (name: keyof Measured) => rounds.map((round) => median(round[zone].map((row) => row[name])));
    report({
      benchmark: "recurrence",
      figure: `next occurrence, ${words} (floor: croner)`,
      unit: "µs",
      rounds: of("pocketwatch nextOccurrence"),
      floor: of("croner next"),
      limit: { of: "median", value: LIMIT_MICROSECONDS[zone] },
    });
  }
}

interface Measured {
  "pocketwatch nextOccurrence": number;
  "pocketwatch compile + next": number;
  "croner next": number;
  "croner parse + next": number;
  "cron-parser next": number;
  "cron-parser parse + next": number;
}

function measureAll(timezone: string): Measured[] {
  return EXPRESSIONS.map((expression) => {
    const timing = cron(expression, timezone);
    const recurrence = compileRecurrence(timing);
    const plain = expression.replaceAll("H", "7");
    const croner = new Cron(plain, { timezone, paused: true });
    const parser = CronExpressionParser.parse(plain, { tz: timezone, currentDate: YEAR });
    return {
      "pocketwatch nextOccurrence": mean(5_000, (after) => nextOccurrence(recurrence, after)),
      "pocketwatch compile + next": mean(2_000, (after) => nextOccurrence(compileRecurrence(timing), after)),
      "croner next": mean(20, (after) => croner.nextRun(new Date(after))),
      "croner parse + next": mean(20, (after) => new Cron(plain, { timezone, paused: true }).nextRun(new Date(after))),
      "cron-parser next": mean(20, (after) => {
        parser.reset(new Date(after));
        return parser.next();
      }),
      "cron-parser parse + next": mean(20, (after) =>
        CronExpressionParser.parse(plain, { tz: timezone, currentDate: after }).next(),
      ),
    };
  });
}

/** What planning pays: many schedules whose expressions were never seen before. */
function measureCompilation(): void {
  const expressions = new Set<string>();
  while (expressions.size < 10_000) expressions.add(randomExpression());
  const timings = [...expressions].map((expression) => cron(expression, "Europe/Berlin"));
  const hashed = timings.map((timing, index) => ({
    ...timing,
    cron_expression: "H H * * *",
    name: `schedule ${index}`,
  }));
  const heap = heapUsed();
  console.error(`\n10,000 different expressions compiled: first time ${total(timings)}, again ${total(timings)}`);
  console.error(`10,000 names for "H H * * *": first time ${total(hashed)}, again ${total(hashed)}`);
  console.error(`they hold ${((heapUsed() - heap) / 2 ** 20).toFixed(1)} MiB in the memo`);

  function total(all: readonly Timing[]): string {
    const start = process.hrtime.bigint();
    for (const timing of all) compileRecurrence(timing);
    return `${(Number(process.hrtime.bigint() - start) / 1e6).toFixed(0)} ms`;
  }
}

function heapUsed(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function randomExpression(): string {
  const pick = (below: number) => Math.floor(random() * below);
  const minute = [`${pick(60)}`, `*/${1 + pick(30)}`, `${pick(30)},${30 + pick(30)}`][pick(3)];
  const hour = [`${pick(24)}`, "*", `${pick(12)}-${12 + pick(12)}`][pick(3)];
  const day = ["*", "*", `${1 + pick(28)}`][pick(3)];
  const weekday = ["*", "*", "MON-FRI", `${pick(7)}`][pick(4)];
  return `${minute} ${hour} ${day} * ${weekday}`;
}

function mean(calls: number, call: (after: number) => unknown): number {
  let found = 0;
  for (let i = 0; i < calls / 5; i++) found += call(INSTANTS[i % INSTANTS.length] as number) === null ? 0 : 1;
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) found += call(INSTANTS[i % INSTANTS.length] as number) === null ? 0 : 1;
  const elapsed = Number(process.hrtime.bigint() - start);
  if (found === 0) throw new Error("nothing was found, so nothing was measured");
  return elapsed / calls / 1_000;
}

function cell(rows: Measured[], name: keyof Measured): string {
  const figures = rows.map((row) => row[name]);
  return `${digits(median(figures))} (${digits(Math.max(...figures))})`;
}

function digits(figure: number): string {
  return figure < 10 ? figure.toFixed(2) : figure.toFixed(0);
}

function zonesWithDst(): string[] {
  return Intl.supportedValuesOf("timeZone").filter((timeZone) => {
    const format = new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
    const offset = (month: number) => format.format(Date.UTC(2026, month, 1)).split("GMT")[1];
    return offset(0) !== offset(6);
  });
}

function cron(expression: string, timezone: string): Timing {
  return {
    name: "bench",
    kind: "cron",
    cron_expression: expression,
    interval_seconds: null,
    interval_anchor: null,
    run_at: null,
    calendar: null,
    timezone,
    dst_gap: "next_valid",
    dst_fold: null,
    starts_at: null,
    ends_at: null,
    created_at: YEAR,
  };
}

/** A seeded generator, so that every run measures the same. */
function lcg(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

main();
