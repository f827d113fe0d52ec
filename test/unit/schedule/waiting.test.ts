import { describe, expect, test } from "vitest";
import type { Overlap } from "../../../src/schedule/policy.ts";
import { decideRelease, letGo, type WaitingRun, type WaitingSchedule } from "../../../src/schedule/waiting.ts";
import { inStatus, T0 } from "../../support/run-state.ts";

const OVERLAPS: Overlap[] = ["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"];
const NOTHING = { release: [], buffer: [], supersede: [], cancel_current: false };

function waits(id: string, status_reason: string, differences: Partial<WaitingRun> = {}): WaitingRun {
  return { id, status_reason, exclusive: true, previous_at: T0, ...differences };
}

function schedule(
  overlap: Overlap,
  waiting: WaitingRun[],
  differences: Partial<WaitingSchedule> = {},
): WaitingSchedule {
  return { overlap, created_at: T0 - 1_000, busy: false, completed_at: [], waiting, ...differences };
}

describe("buffered runs", () => {
  const three = ["a", "b", "c"].map((id) => waits(id, "buffered"));

  for (const overlap of OVERLAPS) {
    test(`${overlap}: nothing waits, nothing happens, busy or not`, () => {
      expect(decideRelease(schedule(overlap, []))).toEqual(NOTHING);
      expect(decideRelease(schedule(overlap, [], { busy: true }))).toEqual(NOTHING);
    });
  }
  for (const overlap of ["allow", "skip", "buffer_one", "buffer_all"] as const) {
    test(`${overlap}: one at a time, the oldest first`, () => {
      expect(decideRelease(schedule(overlap, three))).toEqual({ ...NOTHING, release: ["a"] });
      expect(decideRelease(schedule(overlap, three, { busy: true }))).toEqual(NOTHING);
    });
    test(`${overlap}: runs made while overlap was allow take no place`, () => {
      const free = three.map((run) => ({ ...run, exclusive: false }));
      expect(decideRelease(schedule(overlap, free, { busy: true })).release).toEqual(["a", "b", "c"]);
    });
  }
  test("cancel_previous: the newest wins, and asks for the current one's end", () => {
    expect(decideRelease(schedule("cancel_previous", three))).toEqual({
      ...NOTHING,
      release: ["c"],
      supersede: ["a", "b"],
    });
    expect(decideRelease(schedule("cancel_previous", three, { busy: true }))).toEqual({
      ...NOTHING,
      supersede: ["a", "b"],
      cancel_current: true,
    });
  });
});

describe("blocked runs", () => {
  const blocked = [waits("a", "blocked", { previous_at: T0 }), waits("b", "blocked", { previous_at: T0 + 60_000 })];

  test("go when every dependency has completed since the occurrence before theirs", () => {
    const completed_at = (...instants: (number | null)[]) =>
      decideRelease(schedule("buffer_all", blocked, { completed_at: instants }));
    expect(completed_at(null, T0 + 1)).toEqual(NOTHING);
    expect(completed_at(T0, T0 + 1)).toEqual(NOTHING);
    expect(completed_at(T0 + 1, T0 + 1)).toEqual({ ...NOTHING, release: ["a"] });
    expect(completed_at(T0 + 60_001, T0 + 60_001)).toEqual({ ...NOTHING, release: ["a"], buffer: ["b"] });
  });

  test("without an occurrence before, the schedule's creation counts", () => {
    const first = [waits("a", "blocked", { previous_at: null })];
    expect(decideRelease(schedule("skip", first, { completed_at: [T0 - 1_000] }))).toEqual(NOTHING);
    expect(decideRelease(schedule("skip", first, { completed_at: [T0 - 999] })).release).toEqual(["a"]);
  });

  test("unblocked while another runs, they wait for it", () => {
    const done = { completed_at: [T0 + 60_001], busy: true };
    for (const overlap of ["skip", "buffer_one", "buffer_all"] as const) {
      expect(decideRelease(schedule(overlap, blocked, done))).toEqual({ ...NOTHING, buffer: ["a", "b"] });
    }
    expect(decideRelease(schedule("cancel_previous", blocked, done))).toEqual({
      ...NOTHING,
      supersede: ["a"],
      buffer: ["b"],
      cancel_current: true,
    });
  });

  test("one that is still blocked supersedes nobody and holds nobody up", () => {
    const mixed = [waits("a", "buffered"), waits("b", "blocked")];
    expect(decideRelease(schedule("cancel_previous", mixed, { completed_at: [null] }))).toEqual({
      ...NOTHING,
      release: ["a"],
    });
  });

  test("with overlap allow they all go at once", () => {
    const free = blocked.map((run) => ({ ...run, exclusive: false }));
    expect(decideRelease(schedule("allow", free, { completed_at: [T0 + 60_001] })).release).toEqual(["a", "b"]);
  });
});

describe("runs held by a breaker", () => {
  const held = waits("a", "breaker_open");

  test("keep their place: those behind them go on waiting", () => {
    expect(decideRelease(schedule("buffer_all", [held, waits("b", "buffered")]))).toEqual(NOTHING);
    expect(decideRelease(schedule("buffer_all", [waits("b", "buffered"), waits("c", "breaker_open")]))).toEqual(
      NOTHING,
    );
  });

  test("hold no place that they do not take", () => {
    const shared = { ...held, exclusive: false };
    expect(decideRelease(schedule("buffer_all", [shared, waits("b", "buffered")])).release).toEqual(["b"]);
  });

  test("are superseded by a newer one, and supersede older ones", () => {
    expect(decideRelease(schedule("cancel_previous", [held, waits("b", "buffered")]))).toEqual({
      ...NOTHING,
      release: ["b"],
      supersede: ["a"],
    });
    const newer = [waits("b", "buffered"), waits("c", "breaker_open")];
    expect(decideRelease(schedule("cancel_previous", newer))).toEqual({ ...NOTHING, supersede: ["b"] });
  });
});

test("a run that is let go may start from now on, and has its whole time to do so", () => {
  const run = inStatus("waiting", { status_reason: "blocked", available_at: T0, deadline_at: T0 + 5 });
  expect(letGo(run, T0 + 9_000)).toMatchObject({
    ...{ status: "pending", status_reason: null, available_at: T0 + 9_000, deadline_at: T0 + 9_000 + 86_400_000 },
  });
  expect(letGo({ ...run, available_at: T0 + 60_000 }, T0 + 9_000).available_at).toBe(T0 + 60_000);
});
