import { describe, expect, test } from "vitest";
import { InvalidInput } from "../../../src/schedule/errors.ts";
import { at, cron, forwards, iso, upcoming } from "./timings.ts";

describe("what an expression means", () => {
  test.each([
    ["  0\t 12  * * *  ", "2026-11-21T12:00:00Z"],
    ["00 08 * * *", "2026-11-22T08:00:00Z"],
    ["15 0 12 * * *", "2026-11-21T12:00:15Z"],
    ["0 12 * * sun", "2026-11-22T12:00:00Z"],
    ["0 12 * * 0", "2026-11-22T12:00:00Z"],
    ["0 12 * * 7", "2026-11-22T12:00:00Z"],
    ["0 12 * * fri-sun", "2026-11-21T12:00:00Z"],
    ["0 12 * * 5-7", "2026-11-21T12:00:00Z"],
    ["0 12 * DEC-dec *", "2026-12-01T12:00:00Z"],
    ["5/20 12 * * *", "2026-11-21T12:05:00Z"],
    ["0-59/60 12 * * *", "2026-11-21T12:00:00Z"],
    ["0 12 ? * MON", "2026-11-23T12:00:00Z"],
    ["@midnight", "2026-11-22T00:00:00Z"],
    ["@weekdays", "2026-11-23T00:00:00Z"],
    ["@weekends", "2026-11-22T00:00:00Z"],
    ["@minutely", "2026-11-21T10:01:00Z"],
    ["@secondly", "2026-11-21T10:00:01Z"],
  ])("%j", (expression, expected) => {
    expect(upcoming(cron(expression), "2026-11-21T10:00:00Z", 1)).toEqual([expected]);
  });

  test.each([
    // day of month, day of week, the days of November 2026 (the 1st is a Sunday)
    ["13", "FRI", [6, 13, 20, 27]],
    ["13", "+FRI", [13]],
    ["13", "*", [13]],
    ["13", "?", [13]],
    ["*", "FRI", [6, 13, 20, 27]],
    ["?", "FRI", [6, 13, 20, 27]],
    ["*/10", "FRI", [1, 6, 11, 13, 20, 21, 27]],
    ["1-30", "FRI", "all"],
    ["*,13", "FRI", [6, 13, 20, 27]],
    ["13,*", "FRI", "all"],
    ["13", "*/7", [1, 8, 13, 15, 22, 29]],
    ["13", "0-6", "all"],
    ["1-7", "+MON", [2]],
    ["L", "*", [30]],
    ["L,1", "*", [1, 30]],
    ["L", "+MON", [30]],
    ["*", "5L", [27]],
    ["*", "FRI#L", [27]],
    ["*", "0L,1L", [29, 30]],
    ["*", "7L", [29]],
    ["*", "SUN#5", [29]],
    ["*", "MON#1,MON#3", [2, 16]],
    ["*", "WED,MON#1", [2, 4, 11, 18, 25]],
    ["1", "7#2", [1, 8]],
  ] as const)("day of month %s, day of week %s", (day, weekday, expected) => {
    const found = forwards(cron(`0 0 ${day} * ${weekday}`), at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    const days = found.map((instant) => new Date(instant).getUTCDate());
    expect(days).toEqual(expected === "all" ? Array.from({ length: 30 }, (_, i) => i + 1) : expected);
  });
});

describe("H", () => {
  test("is the same for the same name and spreads over different ones", () => {
    const minutes = new Set<string>();
    for (let i = 0; i < 400; i++) {
      const name = `schedule ${i}`;
      const [first, second] = upcoming(cron("H * * * *", { name }), "2026-01-01T00:00:00Z", 2);
      expect(upcoming(cron("H * * * *", { name }), "2026-01-01T00:00:00Z", 1)).toEqual([first]);
      expect(first?.slice(14, 16)).toBe(second?.slice(14, 16));
      minutes.add(first?.slice(14, 16) ?? "");
    }
    expect(minutes.size).toBeGreaterThan(55);
  });

  test("a day of the month is one that every month has, and a day of the week is fair", () => {
    const weekdays = new Map<number, number>();
    for (let i = 0; i < 700; i++) {
      const name = `schedule ${i}`;
      expect(upcoming(cron("0 0 H * *", { name }), "2026-01-31T12:00:00Z", 1)[0]).toMatch(
        /^2026-02-(0[1-9]|1\d|2[0-8])T/,
      );
      const day = new Date(upcoming(cron("0 0 * * H", { name }), "2026-01-01T00:00:00Z", 1)[0] as string).getUTCDay();
      weekdays.set(day, (weekdays.get(day) ?? 0) + 1);
    }
    expect([...weekdays.values()].every((count) => count > 60 && count < 140)).toBe(true);
  });

  test.each([
    "H/15 * * * *",
    "H(10-20) * * * *",
    "H(0-29)/10 H * * *",
    "h h H H H",
    "0 0 1 1 H(1-5)",
    "H,H(0-5) * * * *",
    "0 0 1 * +H",
  ])("%s is understood, whatever the name", (expression) => {
    for (const name of ["", "a", "Daily StratNinja Scout", "日程", "😀"]) {
      expect(upcoming(cron(expression, { name }), "2026-01-01T00:00:00Z", 1)).toHaveLength(1);
    }
  });

  test("needs no name to stay the same", () => {
    const drawn = ["H H * * *", "H  H * * *", "H H  * * *"].map(
      (text) => upcoming(cron(text, { name: "" }), "2026-01-01T00:00:00Z", 1)[0],
    );
    expect(new Set(drawn).size).toBe(1);
  });

  test("two schedules that share an expression do not share its H", () => {
    const found = ["a", "b", "c", "d", "e"].map(
      (name) => upcoming(cron("H H * * *", { name }), "2026-01-01T00:00:00Z", 1)[0],
    );
    expect(new Set(found).size).toBe(5);
  });
});

describe("what is refused, and in what words", () => {
  test.each([
    ["", "is empty"],
    [" \t ", "is empty"],
    ["* * * *", "has 4 fields"],
    ["x", "has 1 field;"],
    ["* * * * * * *", "has 7 fields; a year (OCPS 1.2) is not supported"],
    ["* * * * * * * *", "has 8 fields"],
    ["60 * * * *", "minute: 60 is outside 0-59"],
    ["* 24 * * *", "hour: 24 is outside 0-23"],
    ["* * 0 * *", "day of month: 0 is outside 1-31"],
    ["* * 32 * *", "day of month: 32 is outside 1-31"],
    ["* * * 0 *", "month: 0 is outside 1-12"],
    ["* * * 13 *", "month: 13 is outside 1-12"],
    ["* * * * 8", "day of week: 8 is outside 0-7"],
    ["60 * * * * *", "second: 60 is outside 0-59"],
    ["*/0 * * * *", "a step must be at least 1"],
    ["*/-5 * * * *", "cannot read"],
    ["*/61 * * * *", "the step is longer than the field"],
    ["0-59/70 * * * *", "the step is longer than the field"],
    ["* * * * */8", "the step is longer than the field"],
    ["*/5/5 * * * *", "cannot read"],
    ["5-1 * * * *", "runs backwards; write it as two, such as 5-59,0-1"],
    ["* * * * FRI-MON", "runs backwards; write it as two, such as FRI-SAT,SUN-MON"],
    ["1,,2 * * * *", "empty entry"],
    [",1 * * * *", "empty entry"],
    ["1, * * * *", "empty entry"],
    ["1-5-7 * * * *", "cannot read"],
    ["1- * * * *", "cannot read"],
    ["*-5 * * * *", "cannot read"],
    ["*5 * * * *", "cannot read"],
    ["** * * * *", "cannot read"],
    ["/5 * * * *", "cannot read"],
    ["1.5 * * * *", "cannot read"],
    ["1e1 * * * *", "cannot read"],
    ["0x1 * * * *", "cannot read"],
    ["005 * * * *", "cannot read"],
    ["-1 * * * *", "cannot read"],
    ["MON * * * *", "cannot read"],
    ["* * * january *", "cannot read"],
    ["* * * 1jan *", "cannot read"],
    ["* * * * monday", "cannot read"],
    ["* * * MON *", "cannot read"],
    ["* * * * L", "cannot read"],
    ["L * * * *", "cannot read"],
    ["* L * * *", "cannot read"],
    ["* * * L *", "cannot read"],
    ["* * 5L * *", "cannot read"],
    ["* * 1#2 * *", "cannot read"],
    ["* * 29-L * *", "cannot read"],
    ["* * * * 1-5L", "cannot read"],
    ["* * * * MON#0", "after # stands 1 to 5"],
    ["* * * * MON#6", "after # stands 1 to 5"],
    ["* * * * MON#", "after # stands 1 to 5"],
    ["* * * * #1", "cannot read"],
    ["* * * * 8L", "8 is outside 0-7"],
    ["* * 15W * *", "W (the nearest weekday, OCPS 1.3) is not supported"],
    ["* * LW * *", "W (the nearest weekday, OCPS 1.3) is not supported"],
    ["* * L-3 * *", "counting back from the last day is not supported; kind calendar can"],
    ["? * * * *", "? stands alone"],
    ["* * ?/2 * *", "? stands alone"],
    ["* * 1,? * *", "? stands alone"],
    ["* * +1 * *", "+ stands only at the beginning of the day of week"],
    ["* * * * MON,+TUE", "+ stands only at the beginning of the day of week"],
    ["0~30 * * * *", "a random value (~) is not supported"],
    ["H(5-1) * * * *", "runs backwards"],
    ["H(0-60) * * * *", "60 is outside 0-59"],
    ["H/0 * * * *", "a step must be at least 1"],
    ["H/61 * * * *", "the step is longer"],
    ["H-5 * * * *", "cannot read"],
    ["H() * * * *", "cannot read"],
    ["@reboot", "@reboot is not supported"],
    ["@every 5m", "use kind interval"],
    ["@Daily", "not a nickname"],
    ["@fortnightly", "not a nickname"],
    ["@daily *", "not a nickname"],
    ["TZ=Europe/Berlin 0 0 * * *", "put it into timezone"],
    ["CRON_TZ=Europe/Berlin 0 0 * * *", "put it into timezone"],
    ["0 0 30 2 *", "never happens"],
    ["0 0 31 2,4,6,9,11 *", "never happens"],
    ["0 0 30-31 FEB *", "never happens"],
    ["0 0 31 4 +MON", "never happens"],
    ["0 0 1 * +MON#2", "never happens"],
    ["٣ * * * *", "a character that no cron expression has"],
    ["* * * * *\u00a0", "a character that no cron expression has"],
    ["* * * *\n*", "a character that no cron expression has"],
    ["0 0 * * *\u0000", "a character that no cron expression has"],
    [`${"0,".repeat(600)}0 * * * *`, "longer than 1000 characters"],
    ["1".repeat(900), "has 1 field"],
    [`${"1".repeat(900)} * * * *`, "cannot read"],
    [`${"?".repeat(900)} * * * *`, "? stands alone"],
    [`*/${"9".repeat(900)} * * * *`, "the step is longer"],
    [`* * * * MON#${"9".repeat(900)}`, "after # stands 1 to 5"],
  ])("%j", (expression, message) => {
    const errors = faults(expression);
    expect(errors).toEqual([{ field: "cron_expression", message: expect.stringContaining(message) }]);
    expect(errors[0]?.message.length).toBeLessThan(260);
  });

  test("every field at fault is named, in one answer", () => {
    expect(faults("60 24 0 13 8").map(({ message }) => message)).toEqual([
      "minute: 60 is outside 0-59",
      "hour: 24 is outside 0-23",
      "day of month: 0 is outside 1-31",
      "month: 13 is outside 1-12",
      "day of week: 8 is outside 0-7",
    ]);
  });

  test.each(["0 0 29 2 *", "0 0 31 * *", "0 0 30 2 MON", "0 0 L 2 *", "0 0 * 2 MON#5", "0 0 29 2 +SUN"])(
    "%s is rare, but possible",
    (expression) => {
      expect(upcoming(cron(expression), "2026-01-01T00:00:00Z", 1)).toHaveLength(1);
    },
  );
});

test("the longest sensible expression is read", () => {
  const all = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i).join();
  const expression = `${all(0, 59)} ${all(0, 59)} ${all(0, 23)} ${all(1, 31)} ${all(1, 12)} ${all(0, 7)}`;
  expect(iso(forwards(cron(expression), 0, 2_000)[1] ?? null)).toBe("1970-01-01T00:00:01Z");
});

function faults(expression: string): InvalidInput["errors"] {
  try {
    cron(expression);
  } catch (error) {
    if (error instanceof InvalidInput) return error.errors;
    throw error;
  }
  throw new Error("was accepted");
}
