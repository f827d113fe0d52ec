import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import {
  readDuration,
  readMoment,
  readPastMoment,
  showDistance,
  showDuration,
  showMoment,
} from "../../../src/cli/moments.ts";
import { width } from "../../../src/cli/printable.ts";
import { NOW, pocketwatch, schedule } from "./fake-surroundings.ts";

const HERE = { now: NOW, timezone: "Europe/Berlin" };

const long = schedule({
  name: "a name of a schedule that goes on and on for longer than any terminal is wide, and then some",
  timing: { kind: "cron", expression: "0,15,30,45 8-18 * * MON-FRI", timezone: "America/Argentina/Buenos_Aires" },
  last_run_at: "2026-11-21T07:00:00.000Z",
  last_run_status: "completed",
});
const ESCAPE = "\u001b";
const answer = () => [200, { items: [long, schedule()], next_cursor: null }] as const;

describe("tables", () => {
  test("fit the terminal", async () => {
    const { out } = await pocketwatch({ answer, columns: 80 }, "schedules", "list");
    expect(Math.max(...out.split("\n").map(width))).toBe(80);
    expect(out).toContain("completed 3h ago");
  });

  test("are whole and plain in a pipe", async () => {
    const { out } = await pocketwatch({ answer }, "schedules", "list");
    expect(out).toContain(long.name);
    expect(out).not.toContain(ESCAPE);
    expect(out).not.toMatch(/ $/m);
  });

  test("are coloured on a terminal, and align all the same", async () => {
    const coloured = await pocketwatch({ answer, columns: 80, colour: true }, "schedules", "list");
    const plain = await pocketwatch({ answer, columns: 80 }, "schedules", "list");
    expect(coloured.out).toContain("\u001b[32mactive\u001b[0m");
    expect(coloured.out.replaceAll(new RegExp(`${ESCAPE}\\[\\d+m`, "g"), "")).toBe(plain.out);
  });

  test("cannot be torn or repainted by a name", async () => {
    const evil = schedule({ name: "a\nb\u001b[2Jc\u202ed" });
    const { out } = await pocketwatch(
      { answer: () => [200, { items: [evil], next_cursor: null }] },
      "schedules",
      "list",
    );
    expect(out).toContain("a\\nb\\u001b[2Jc\\u{202e}d");
    expect(out.split("\n")).toHaveLength(3);
  });

  test("one schedule fits the terminal too", async () => {
    const wordy = schedule({ description: "many words ".repeat(30), payload: { text: "x".repeat(300) } });
    const { out } = await pocketwatch({ answer: () => [200, wordy], columns: 80 }, "schedules", "show", "x");
    expect(Math.max(...out.split("\n").map(width))).toBeLessThanOrEqual(80);
  });
});

describe("durations and instants", () => {
  test.each([
    ["90", 90],
    ["5m", 300],
    ["1h30m", 5_400],
    ["2d", 172_800],
    ["1w", 604_800],
    ["", null],
    ["5x", null],
    ["m5", null],
    ["-5", null],
  ])("%j", (text, seconds) => expect(readDuration(text)).toBe(seconds));

  test.each([
    [0, "0s"],
    [0.25, "250ms"],
    [0.7, "700ms"],
    [1.24, "1.2s"],
    [59.6, "1m"],
    [5_400, "1h30m"],
    [1_209_600, "14d"],
  ])("%d s", (seconds, text) => expect(showDuration(seconds)).toBe(text));

  test("an instant, or from now", () => {
    expect(readMoment("2026-11-21T11:00:00+01:00", HERE)).toBe(NOW);
    expect(readMoment("+1h", HERE)).toBe(NOW + 3_600_000);
    expect(readMoment("2026-11-21T11:00:00", HERE)).toBeNull();
    expect(readMoment("+x", HERE)).toBeNull();
    expect(readPastMoment("1h", HERE)).toBe(NOW - 3_600_000);
    expect(readPastMoment("2026-11-21T11:00:00+01:00", HERE)).toBe(NOW);
  });

  // NOW is Saturday 2026-11-21, 11:00 in Berlin.
  test.each([
    ["monday", "2026-11-22T23:00:00.000Z"],
    ["Monday 06:00", "2026-11-23T05:00:00.000Z"],
    ["mon 06:00", "2026-11-23T05:00:00.000Z"],
    ["saturday 10:59", "2026-11-28T09:59:00.000Z"],
    ["saturday 11:01", "2026-11-21T10:01:00.000Z"],
    ["tomorrow", "2026-11-21T23:00:00.000Z"],
    ["tomorrow 06:30", "2026-11-22T05:30:00.000Z"],
    ["today 18:00", "2026-11-21T17:00:00.000Z"],
    ["10:00", "2026-11-22T09:00:00.000Z"],
    ["2027-03-28 02:30", "2027-03-28T01:00:00.000Z"],
    ["2026-02-30", null],
    ["someday", null],
    ["mo", null],
    ["mondays", null],
    ["monday 25:00", null],
    ["monday  06:00", null],
    ["", null],
  ])("a local day and time ahead: %j", (text, iso) => {
    const instant = readMoment(text, HERE);
    expect(instant && new Date(instant).toISOString()).toBe(iso);
  });
  test.each([
    ["yesterday", "2026-11-19T23:00:00.000Z"],
    ["yesterday 18:00", "2026-11-20T17:00:00.000Z"],
    ["today", "2026-11-20T23:00:00.000Z"],
    ["saturday", "2026-11-20T23:00:00.000Z"],
    ["monday", "2026-11-15T23:00:00.000Z"],
    ["12:00", "2026-11-20T11:00:00.000Z"],
    ["2026-11-01", "2026-10-31T23:00:00.000Z"],
    ["soon", null],
  ])("a local day and time back: %j", (text, iso) => {
    const instant = readPastMoment(text, HERE);
    expect(instant && new Date(instant).toISOString()).toBe(iso);
  });

  test("for people", () => {
    expect(showMoment("2026-11-21T10:00:00.000Z")).toBe("2026-11-21 10:00Z");
    expect(showMoment("2026-11-21T10:00:05.250Z")).toBe("2026-11-21 10:00:05Z");
    expect(showDistance("2026-11-21T12:59:59.000Z", NOW)).toBe("in 2h");
    expect(showDistance("2026-11-19T10:00:00.000Z", NOW)).toBe("2d ago");
    expect(showDistance("2026-11-21T10:00:00.500Z", NOW)).toBe("now");
  });
});

describe("completion", () => {
  test("of bash is valid and completes commands, options and values", async () => {
    const { out } = await pocketwatch({}, "completion", "bash");
    const complete = (...words: string[]) => {
      const line = ["pocketwatch", ...words].map((word) => `'${word}'`).join(" ");
      const script = `${out}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length}; _pocketwatch; echo "\${COMPREPLY[*]}"`;
      return execFileSync("bash", ["-c", script], { encoding: "utf8" }).trim().split(" ");
    };
    expect(complete("sch")).toEqual(["schedules"]);
    expect(complete("schedules", "p")).toEqual(["pause", "preview"]);
    expect(complete("schedules", "add", "--max-")).toEqual(["--max-attempts", "--max-backoff", "--max-runs"]);
    expect(complete("schedules", "add", "--name", "x", "--priority", "")).toEqual(["high", "normal", "low"]);
    expect(complete("completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(complete("runs", "list", "--js")).toEqual(["--json"]);
  });

  test("of zsh names the same commands", async () => {
    const { out } = await pocketwatch({}, "completion", "zsh");
    expect(out).toMatch(/^#compdef pocketwatch\n/);
    expect(out).toContain("'skip-next:skip the next occurrence, and leave a run that says so'");
  });
});

test("every command has a help with examples that fits 80 columns", async () => {
  const seen: string[] = [];
  const visit = async (path: readonly string[]) => {
    const { out, exit } = await pocketwatch({}, ...path, "--help");
    expect(exit, path.join(" ")).toBe(0);
    expect(out.split("\n").filter((line) => width(line) > 80)).toEqual([]);
    const commands = [...out.matchAll(/^ {2}([a-z][a-z-]*)(?= [[< ])/gm)].map((match) => match[1]!);
    const below = path.length < 2 ? commands.filter((name) => name !== "pocketwatch") : [];
    if (path.length > 0 && (below.length === 0 || path.length === 2)) {
      expect(out, path.join(" ")).toContain("Examples:");
      seen.push(path.join(" "));
      return;
    }
    for (const name of below) await visit([...path, name]);
  };
  await visit([]);
  expect(seen.length).toBeGreaterThanOrEqual(27);
});
