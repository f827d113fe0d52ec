import { describe, expect, test } from "vitest";
import { pocketwatch, type World } from "./fake-surroundings.ts";

const ID = "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e";
const run = (fields: object) => ({
  ...{ id: ID, schedule_name: "nightly", action: "scout.trigger", target: null, attempt: 1, status: "running" },
  ...{ status_reason: null, error_message: null, progress: null, progress_message: null, child_total: null },
  ...{ started_at: "2026-11-21T10:00:00.000Z", completed_at: null },
  ...fields,
});
const ended = (fields: object) => run({ completed_at: "2026-11-21T10:00:07.000Z", ...fields });

/** Answers one after the other; null: the service is away for a moment. */
function story(...answers: (object | null)[]): NonNullable<World["answer"]> {
  let next = 0;
  return () => {
    const answer = answers[Math.min(next++, answers.length - 1)];
    if (answer === null) throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    return [200, answer];
  };
}

describe("runs watch", () => {
  test("says each change once, and ends with 0 when the run completes", async () => {
    const half = run({ progress: 50, progress_message: "half" });
    const answer = story(run({ status: "dispatched" }), half, half, ended({ status: "completed" }));
    const { exit, out } = await pocketwatch({ answer }, "runs", "watch", ID);
    expect(exit).toBe(0);
    expect(out.split("\n")).toEqual([
      `${ID} nightly`,
      "10:00:00  ● dispatched",
      "10:00:01  ● running · 50 % · half",
      "10:00:03  ● completed, took 7s",
      "",
    ]);
  });

  test.each(["failed", "cancelled", "skipped"])("ends with 1 when the run is %s", async (status) => {
    const answer = story(ended({ status, status_reason: "requested", error_message: "no\u001b[31mred" }));
    const { exit, out, err } = await pocketwatch({ answer }, "runs", "watch", ID);
    expect([exit, err]).toEqual([1, ""]);
    expect(out).toContain(`● ${status}: requested, took 7s · no\\u001b[31mred`);
  });

  test("outlives a restart of the service", async () => {
    const answer = story(run({}), null, null, ended({ status: "completed" }));
    const { exit, err } = await pocketwatch({ answer }, "runs", "watch", ID);
    expect([exit, err]).toEqual([0, "The service cannot be reached; trying on …\n"]);
  });

  test("does not try for ever, and not at all before the first look", async () => {
    expect((await pocketwatch({ answer: story(run({}), null) }, "runs", "watch", ID)).exit).toBe(3);
    expect((await pocketwatch({ answer: story(null) }, "runs", "watch", ID)).asked).toHaveLength(1);
  });

  test("gives up after a while if asked to", async () => {
    const { exit, asked } = await pocketwatch({ answer: story(run({})) }, "runs", "watch", ID, "--timeout", "5s");
    expect(exit).toBe(1);
    expect(asked).toHaveLength(6);
  });

  test("programs get a line per change", async () => {
    const answer = story(run({}), ended({ status: "completed" }));
    const { out } = await pocketwatch({ answer }, "runs", "watch", ID, "--json");
    const lines = out.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).status)).toEqual(["running", "completed"]);
  });
});
