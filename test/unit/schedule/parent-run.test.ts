import { describe, expect, test } from "vitest";
import { addDelta, type ChildCounts, childDeltas, NO_DELTA, settleParent } from "../../../src/schedule/parent-run.ts";
import type { RunState } from "../../../src/schedule/run-transitions.ts";
import { inStatus, T0 } from "../../support/run-state.ts";

type Parent = RunState & ChildCounts;

function parent(counts: Partial<ChildCounts> = {}, differences: Partial<RunState> = {}): Parent {
  return {
    ...inStatus("running", { deadline_at: null, ...differences }),
    ...{ child_total: 4, child_completed: 0, child_failed: 0, child_cancelled: 0, child_skipped: 0, child_progress: 0 },
    target_count: 4,
    ...counts,
  };
}

const child = (status: RunState["status"], differences: Partial<RunState> = {}) =>
  inStatus(status, { parent_run_id: "p", ...differences });
const settle = (counts: Partial<ChildCounts>, differences?: Partial<RunState>) =>
  settleParent(parent(counts, differences), T0 + 9_000);

describe("the counts of a batch", () => {
  test("are added up per parent; top-level runs have none", () => {
    const deltas = childDeltas([
      { before: child("running", { progress: 40 }), after: child("completed") },
      { before: child("running", { progress: 20 }), after: child("failed", { progress: 30 }) },
      { before: child("running"), after: child("completed", { parent_run_id: "q" }) },
      { before: inStatus("running"), after: inStatus("completed") },
    ]);
    expect(Object.fromEntries(deltas)).toEqual({
      p: { ...NO_DELTA, completed: 1, failed: 1, progress: 70 },
      q: { ...NO_DELTA, completed: 1, progress: 100 },
    });
  });

  test("count a retried child back down, its progress as well", () => {
    const deltas = childDeltas([
      { before: child("failed", { progress: 30 }), after: child("pending", { attempt: 2, progress: null }) },
    ]);
    expect(deltas.get("p")).toEqual({ ...NO_DELTA, failed: -1, progress: -30 });
  });

  test("leave out parents for which nothing changes", () => {
    const beat = { before: child("running"), after: child("running", { heartbeat_at: T0 + 9 }) };
    const start = { before: child("dispatched"), after: child("running") };
    const there = { before: child("running", { progress: 1 }), after: child("running", { progress: 2 }) };
    const back = { before: child("running", { progress: 2 }), after: child("running", { progress: 1 }) };
    expect(childDeltas([beat, start]).size).toBe(0);
    expect(childDeltas([there, back]).size).toBe(0);
  });

  test("make the mean of the progress, which stays between 0 and 100", () => {
    const half = addDelta(parent(), { ...NO_DELTA, completed: 1, progress: 150 });
    expect(half).toMatchObject({ child_completed: 1, child_progress: 150, progress: 37.5 });
    expect(addDelta(parent(), { ...NO_DELTA, progress: -1e-9 }).progress).toBe(0);
    expect(addDelta(parent({ child_total: 0 }), NO_DELTA).progress).toBe(0);
  });
});

describe("a parent", () => {
  test("goes on while a child is open", () => {
    expect(settle({ child_completed: 3 })).toBeNull();
    expect(settle({ child_failed: 3 })).toBeNull();
  });

  const table: [string, Partial<ChildCounts>, string, string | null][] = [
    ["all completed", { child_completed: 4 }, "completed", null],
    ["some failed, some completed", { child_completed: 3, child_failed: 1 }, "failed", "partial"],
    ["all failed", { child_failed: 4 }, "failed", "error"],
    ["failed and cancelled, none completed", { child_failed: 1, child_cancelled: 3 }, "failed", "error"],
    ["cancelled and skipped", { child_cancelled: 1, child_skipped: 3 }, "cancelled", "requested"],
    ["all skipped", { child_skipped: 4 }, "skipped", "consumer"],
    ["completed and skipped", { child_completed: 1, child_skipped: 3 }, "completed", null],
    ["one child cancelled by itself", { child_completed: 3, child_cancelled: 1 }, "completed", null],
  ];
  for (const [name, counts, status, reason] of table) {
    test(`${name}: ${status}`, () => {
      const ended = settle(counts);
      expect(ended).toMatchObject({ status, status_reason: reason, completed_at: T0 + 9_000, deadline_at: null });
      const { child_completed = 0, child_failed = 0, child_cancelled = 0, child_skipped = 0 } = counts;
      expect(ended?.result).toEqual({
        ...{ total: 4, completed: child_completed, failed: child_failed },
        ...{ cancelled: child_cancelled, skipped: child_skipped },
      });
      expect(ended?.error_message).toBe(child_failed > 0 ? `${child_failed} of 4 targets failed` : null);
    });
  }

  test("whose children have all completed is at 100", () => {
    expect(settle({ child_completed: 4, child_progress: 399.9999999 })?.progress).toBe(100);
  });

  const flags = { cancel_requested_at: T0, cancel_reason: "superseded", cancel_sent_at: T0 };
  test("that is being cancelled is cancelled if a child was, and completed if all had completed before", () => {
    expect(settle({ child_completed: 3, child_cancelled: 1 }, flags)).toMatchObject({
      status: "cancelled",
      status_reason: "superseded",
    });
    expect(settle({ child_completed: 4 }, flags)).toMatchObject({ status: "completed" });
    expect(settle({ child_completed: 2, child_failed: 1, child_cancelled: 1 }, flags)).toMatchObject({
      status_reason: "partial",
    });
  });

  test("cancelled before all its children were made is cancelled, though those that were have completed", () => {
    expect(settle({ child_total: 2, child_completed: 2 }, flags)).toMatchObject({ status: "cancelled" });
    expect(settle({ child_total: 0 }, flags)).toMatchObject({ status: "cancelled", result: { total: 0 } });
  });

  test("that has ended stays so, and runs again when a child does", () => {
    const ended = inStatus("failed", { ...flags, result: { total: 4 } });
    expect(settleParent({ ...parent({ child_completed: 3, child_failed: 1 }), ...ended }, T0)).toBeNull();
    expect(settleParent({ ...parent({ child_completed: 3 }), ...ended }, T0)).toMatchObject({
      ...{ status: "running", status_reason: null, completed_at: null, result: null, error_message: null },
      ...{ cancel_requested_at: null, cancel_sent_at: null },
    });
  });
});
