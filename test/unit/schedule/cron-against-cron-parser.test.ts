import { CronExpressionParser } from "cron-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvalidInput } from "../../../src/schedule/errors.ts";
import { nextOccurrence, previousOccurrence } from "../../../src/schedule/recurrence.ts";
import { at, cron, iso } from "./timings.ts";

const MONTHS = ["jan", "Feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS = ["sun", "Mon", "TUE", "wed", "thu", "fri", "sat"];

/** One field: a wildcard, a value, a range, a step, or a list of values. cron-parser refuses lists that overlap. */
function field(min: number, max: number, names: readonly string[] = []): fc.Arbitrary<string> {
  const value = fc.integer({ min, max });
  const spelled = value.chain((v) => fc.constantFrom(String(v), names[v - min] ?? String(v).padStart(2, "0")));
  const step = fc
    .integer({ min: 1, max: Math.min(max - min, 7) + 1 })
    .filter((s) => s <= (max === 7 ? 7 : max - min + 1));
  const range = fc.tuple(value, value).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const list = fc
    .uniqueArray(value, { minLength: 2, maxLength: 4, selector: (v) => (max === 7 ? v % 7 : v) })
    .map((values) => values.join());
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant("*") },
    { weight: 3, arbitrary: spelled },
    { weight: 2, arbitrary: range },
    { weight: 1, arbitrary: fc.tuple(range, step).map(([r, s]) => `${r}/${s}`) },
    { weight: 2, arbitrary: step.map((s) => `*/${s}`) },
    { weight: 1, arbitrary: fc.tuple(value, step).map(([v, s]) => `${v}/${s}`) },
    { weight: 2, arbitrary: list },
  );
}

const dayOfMonth = fc.oneof(
  { weight: 6, arbitrary: field(1, 31) },
  { weight: 1, arbitrary: fc.constantFrom("L", "?", "1,L") },
);
const dayOfWeek = fc.oneof(
  { weight: 6, arbitrary: field(0, 7, WEEKDAYS) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 5 })).map((p) => p.join("#")),
  },
  { weight: 1, arbitrary: fc.constantFrom("5L", "0L", "1L,3L", "?") },
);
const expression = fc
  .tuple(
    fc.option(field(0, 59), { nil: null, freq: 3 }),
    field(0, 59),
    field(0, 23),
    dayOfMonth,
    field(1, 12, MONTHS),
    dayOfWeek,
  )
  .map((fields) => fields.filter((text) => text !== null).join(" "));
const instant = fc.integer({ min: at("2000-01-01T00:00:00Z"), max: at("2099-12-31T23:59:59Z") });

describe("in UTC, cron-parser", () => {
  test("finds the same occurrences, forwards and backwards", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(expression, instant, (text, start) => {
        let recurrence: ReturnType<typeof cron>;
        try {
          recurrence = cron(text);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput);
          expect((error as Error).message).toContain("never happens");
          expect(() => CronExpressionParser.parse(text, { tz: "UTC", currentDate: start }).next()).toThrow();
          return;
        }
        const forwards = CronExpressionParser.parse(text, { tz: "UTC", currentDate: start });
        const backwards = CronExpressionParser.parse(text, { tz: "UTC", currentDate: start });
        let next: number | null = start;
        let previous: number | null = start;
        for (let i = 0; i < 3; i++) {
          next = nextOccurrence(recurrence, next as number);
          expect(iso(next)).toBe(iso(forwards.next().getTime()));
          if (previous === null) continue;
          // A 29th of February that is a Sunday comes every 28 years, and nothing is due before 1970.
          const theirs = backwards.prev().getTime();
          previous = previousOccurrence(recurrence, previous);
          expect(iso(previous)).toBe(theirs < 0 ? null : iso(theirs));
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test("draws the same H from the same name", () => {
    const hashed = fc.constantFrom("H H * * *", "H/15 * * * *", "H(10-20) H(8-17)/3 * * *", "H H H * * *", "0 0 1 H *");
    fc.assert(
      fc.property(hashed, fc.string({ minLength: 1 }), (text, name) => {
        const theirs = CronExpressionParser.parse(text, { tz: "UTC", currentDate: 0, hashSeed: name });
        expect(nextOccurrence(cron(text, { name }), 0)).toBe(theirs.next().getTime());
      }),
      { numRuns: 500 },
    );
  });
});
