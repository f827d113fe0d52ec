import { expect, test } from "vitest";
import { applyUpdate } from "../../../src/schedule/run-transitions.ts";
import { anUpdate, inStatus, T0 } from "../../support/run-state.ts";

// Found by test/faults: two instances that share the status queue commit a run's last two messages in either order.
test("what was measured counts although it is read after the end; nothing else of it does", () => {
  const before = inStatus("completed", { progress: 100, progress_sequence: 3, metrics: { validated: 2 } });
  const late = anUpdate("progress", {
    sequence: 2,
    progress: 40,
    message: "half",
    metrics: { fetched: 5, validated: 1 },
  });
  const { run, verdict } = applyUpdate(before, late, T0 + 9_000);
  expect(verdict).toBe("late");
  expect(run).toEqual({ ...before, metrics: { fetched: 5, validated: 2 } });
});

test("a second end changes nothing, its metrics included", () => {
  const before = inStatus("completed", { metrics: { validated: 2 } });
  expect(applyUpdate(before, anUpdate("failed", { metrics: { validated: 9 } }), T0 + 9_000).run).toBe(before);
});
