import { describe, expect, test } from "vitest";
import { type DueFacts, decideOccurrences, type Place } from "../../../src/schedule/occurrences.ts";
import type { Overlap } from "../../../src/schedule/policy.ts";
import { occurrenceRunId } from "../../../src/schedule/run-id.ts";
import { at, iso, timing } from "./timings.ts";

const ID = "019b77b2-0000-7000-8000-0000000000aa";

/** Minutely, due since 12:00. */
function due(differences: Partial<DueFacts> = {}): DueFacts {
  return {
    ...timing("cron", { cron_expression: "* * * * *" }),
    id: ID,
    next_run_at: at("2026-03-01T12:00:00Z"),
    plan_from: null,
    catchup: "latest",
    catchup_window_seconds: 86_400,
    jitter_seconds: 0,
    max_runs: null,
    run_count: 0,
    depends_on: [],
    ...differences,
  };
}

const FREE = { busy: false, waiting: false };
const BUSY = { busy: true, waiting: false };
const WAITING = { busy: true, waiting: true };
const decide = (overlap: Overlap, place: Omit<Place, "overlap">, now: string, facts?: Partial<DueFacts>, limit = 100) =>
  decideOccurrences(due(facts), { overlap, ...place }, at(now), limit);
const outcomes = (...args: Parameters<typeof decide>) => decide(...args).occurrences.map((each) => each.outcome);

describe("one occurrence, by overlap and what is unfinished", () => {
  const table: [Overlap, string, string, string][] = [
    // overlap, free, busy, waiting
    ["allow", "ready", "ready", "ready"],
    ["skip", "ready", "overlap", "overlap"],
    ["buffer_one", "ready", "buffered", "overlap"],
    ["buffer_all", "ready", "buffered", "buffered"],
    ["cancel_previous", "ready", "buffered", "buffered"],
  ];
  for (const [overlap, free, busy, waiting] of table) {
    test(overlap, () => {
      const now = "2026-03-01T12:00:01Z";
      expect(outcomes(overlap, FREE, now)).toEqual([free]);
      expect(outcomes(overlap, BUSY, now)).toEqual([busy]);
      expect(outcomes(overlap, WAITING, now)).toEqual([waiting]);
    });
    test(`${overlap}, with dependencies`, () => {
      const dependent = { depends_on: ["019b77b2-0000-7000-8000-0000000000bb"] };
      const now = "2026-03-01T12:00:01Z";
      const blocked = (outcome: string) => (outcome === "overlap" ? "overlap" : "blocked");
      expect(outcomes(overlap, FREE, now, dependent)).toEqual([blocked(free)]);
      expect(outcomes(overlap, BUSY, now, dependent)).toEqual([blocked(busy)]);
      expect(outcomes(overlap, WAITING, now, dependent)).toEqual([blocked(waiting)]);
    });
  }
});

describe("after an outage of three minutes", () => {
  const now = "2026-03-01T12:03:00.500Z";

  test("latest: a range that was missed, then the latest", () => {
    for (const overlap of ["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"] as const) {
      expect(outcomes(overlap, FREE, now)).toEqual(["missed", "ready"]);
    }
    expect(outcomes("skip", BUSY, now)).toEqual(["missed", "overlap"]);
  });

  test("all: each, by overlap", () => {
    const all = (overlap: Overlap, place = FREE) => outcomes(overlap, place, now, { catchup: "all" });
    expect(all("allow")).toEqual(["ready", "ready", "ready", "ready"]);
    expect(all("skip")).toEqual(["ready", "overlap", "overlap", "overlap"]);
    expect(all("buffer_one")).toEqual(["ready", "buffered", "overlap", "overlap"]);
    expect(all("buffer_all")).toEqual(["ready", "buffered", "buffered", "buffered"]);
    expect(all("cancel_previous")).toEqual(["ready", "buffered", "buffered", "buffered"]);
    expect(all("buffer_one", BUSY)).toEqual(["buffered", "overlap", "overlap", "overlap"]);
    expect(all("buffer_one", WAITING)).toEqual(["overlap", "overlap", "overlap", "overlap"]);
  });

  test("all, beyond the limit: the rest stays due", () => {
    const outcome = decide("allow", FREE, now, { catchup: "all" }, 2);
    expect(outcome.occurrences).toHaveLength(2);
    expect(iso(outcome.next_run_at)).toBe("2026-03-01T12:02:00Z");
    expect(iso(outcome.last_occurrence_at)).toBe("2026-03-01T12:01:00Z");
  });

  test("skip: nothing older than a minute", () => {
    expect(outcomes("allow", FREE, now, { catchup: "skip" })).toEqual(["missed", "ready"]);
    expect(outcomes("allow", FREE, "2026-03-01T12:03:59Z", { catchup: "skip", cron_expression: "0 12 * * *" })).toEqual(
      ["missed"],
    );
  });

  test("ids and the last run follow from the instants", () => {
    const outcome = decide("skip", BUSY, now);
    expect(outcome.occurrences.map(({ run_id }) => run_id)).toEqual([
      occurrenceRunId(ID, at("2026-03-01T12:00:00Z")),
      occurrenceRunId(ID, at("2026-03-01T12:03:00Z")),
    ]);
    expect(outcome).toMatchObject({ started: 0, last_run_id: null });
    expect(decide("allow", FREE, now)).toMatchObject({
      started: 1,
      last_run_id: occurrenceRunId(ID, at("2026-03-01T12:03:00Z")),
    });
  });
});

describe("jitter", () => {
  test("delays what is ready, and says so while it lasts", () => {
    const [early] = decide("allow", FREE, "2026-03-01T12:00:00Z", { jitter_seconds: 600 }).occurrences;
    expect(early?.outcome).toBe("jittered");
    expect(early?.delay_ms).toBeGreaterThan(0);
    expect(early?.delay_ms).toBeLessThan(600_000);
    const late = decide("allow", FREE, "2026-03-01T12:10:00Z", { jitter_seconds: 60, cron_expression: "0 12 * * *" });
    expect(late.occurrences.map(({ outcome }) => outcome)).toEqual(["ready"]);
  });
});

describe("max_runs", () => {
  test("bounds how many start; what is skipped for overlap uses up none", () => {
    const all = decide("allow", FREE, "2026-03-01T12:05:00Z", { catchup: "all", max_runs: 3, run_count: 1 });
    expect(all).toMatchObject({ started: 2 });
    const skipped = decide("skip", BUSY, "2026-03-01T12:00:01Z", { max_runs: 3, run_count: 2 });
    expect(skipped.started).toBe(0);
    expect(iso(skipped.next_run_at)).toBe("2026-03-01T12:01:00Z");
  });
});
