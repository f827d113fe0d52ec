import { describe, expect, test } from "vitest";
import {
  type Breaker,
  type BreakerOutcome,
  breakerKey,
  countOutcome,
  decideHolds,
  outcomeOf,
} from "../../../src/schedule/breaker.ts";
import { inStatus, T0 } from "../../support/run-state.ts";

describe("the key", () => {
  const key = (pointer: string, payload: unknown, target: string | null = null) =>
    breakerKey("crawl.run", pointer, payload, target);

  test("is the action with its target", () => {
    expect(key("target", {}, "node-7")).toBe("crawl.run:node-7");
    expect(key("target", {}, null)).toBeNull();
    expect(breakerKey("crawl.run", undefined, { url: "x" }, "node-7")).toBeNull();
  });

  test("is what the pointer finds, a URL standing for its host", () => {
    expect(key("/url", { url: "https://example.org:8443/a/b?c=d" })).toBe("crawl.run:example.org:8443");
    expect(key("/url", { url: "HTTPS://Example.ORG/a" })).toBe("crawl.run:example.org");
    expect(key("/url", { url: "not a url" })).toBe("crawl.run:not a url");
    expect(key("/url", { url: "mailto:a@b" })).toBe("crawl.run:mailto:a@b");
    expect(key("/deep/er/0", { deep: { er: [7] } })).toBe("crawl.run:7");
    expect(key("/a~1b/c~0d", { "a/b": { "c~d": "x" } })).toBe("crawl.run:x");
  });

  test("is none where the pointer finds nothing that can be one", () => {
    for (const payload of [{}, { url: null }, { url: {} }, { url: true }, null, "text", 7, []]) {
      expect(key("/url", payload)).toBeNull();
    }
    expect(key("/constructor", {})).toBeNull();
    expect(key("/url/deeper", { url: "text" })).toBeNull();
  });
});

test("what the end of an attempt says", () => {
  expect(outcomeOf(inStatus("running"))).toBeNull();
  expect(outcomeOf(inStatus("completed"))).toBe("success");
  expect(outcomeOf(inStatus("failed"))).toBe("failure");
  expect(outcomeOf(inStatus("failed", { started_at: null }))).toBe("neither");
  expect(outcomeOf(inStatus("cancelled"))).toBe("neither");
  expect(outcomeOf(inStatus("skipped"))).toBe("neither");
});

const NOW = T0 + 100_000;

function breaker(differences: Partial<Breaker> = {}): Breaker {
  return {
    key: "k",
    state: "closed",
    failures: 0,
    threshold: 3,
    cooldown_seconds: 60,
    trips: 0,
    opened_at: null,
    probe_run_id: null,
    ...differences,
  };
}

const says = (outcome: BreakerOutcome["outcome"], run_id = "r"): BreakerOutcome => ({ run_id, outcome });
const counted = (start: Breaker, ...outcomes: BreakerOutcome[]) =>
  outcomes.reduce((state, outcome) => countOutcome(state, outcome, NOW), start);

describe("closed", () => {
  test("opens at the threshold, failures in a row", () => {
    expect(counted(breaker(), says("failure"), says("failure"))).toMatchObject({ state: "closed", failures: 2 });
    expect(counted(breaker(), says("failure"), says("failure"), says("failure"))).toMatchObject({
      ...{ state: "open", failures: 3, opened_at: NOW, trips: 1, probe_run_id: null },
    });
    const broken = counted(breaker(), says("failure"), says("failure"), says("success"), says("failure"));
    expect(broken).toMatchObject({ state: "closed", failures: 1 });
  });

  test("is not moved by what says nothing", () => {
    const state = breaker({ failures: 2 });
    expect(counted(state, says("neither"))).toBe(state);
  });

  test("closed by hand, it starts counting anew", () => {
    const reset = breaker({ failures: 3, opened_at: T0, trips: 1 });
    expect(counted(reset, says("failure"))).toMatchObject({ state: "closed", failures: 1, opened_at: null });
  });
});

describe("open", () => {
  const open = breaker({ state: "open", failures: 3, opened_at: T0, trips: 1 });

  test("stragglers that fail do not put the probe off; one that succeeds closes it", () => {
    expect(counted(open, says("failure"))).toMatchObject({ state: "open", opened_at: T0, trips: 1 });
    expect(counted(open, says("neither"))).toBe(open);
    expect(counted(open, says("success"))).toMatchObject({ state: "closed", failures: 0, opened_at: null });
  });
});

describe("half open", () => {
  const half = breaker({ state: "half_open", failures: 3, opened_at: T0, trips: 1, probe_run_id: "p" });

  test("the probe decides", () => {
    expect(counted(half, says("success", "p"))).toMatchObject({ state: "closed", failures: 0, probe_run_id: null });
    expect(counted(half, says("failure", "p"))).toMatchObject({
      ...{ state: "open", opened_at: NOW, trips: 2, probe_run_id: null },
    });
    expect(counted(half, says("neither", "p"))).toMatchObject({ state: "half_open", probe_run_id: null });
  });

  test("stragglers do not, but for a success", () => {
    expect(counted(half, says("failure", "x"))).toMatchObject({ state: "half_open", probe_run_id: "p" });
    expect(counted(half, says("neither", "x"))).toBe(half);
    expect(counted(half, says("success", "x"))).toMatchObject({ state: "closed" });
  });
});

describe("what is about to go out", () => {
  const runs = ["a", "b", "c"].map((id) => ({ id, breaker_key: "k" }));

  test("is held by an open breaker, and by nothing else", () => {
    const free = { id: "d", breaker_key: null };
    expect(decideHolds([...runs, free], [breaker({ state: "open" })]).held).toEqual(["a", "b", "c"]);
    expect(decideHolds([...runs, free], []).held).toEqual([]);
    expect(decideHolds(runs, [breaker()]).held).toEqual([]);
    expect(decideHolds(runs, [breaker({ key: "other", state: "open" })]).held).toEqual([]);
  });

  test("becomes the probe of a half open breaker that has none", () => {
    const { held, probes } = decideHolds(runs, [breaker({ state: "half_open" })]);
    expect(held).toEqual(["b", "c"]);
    expect([...probes]).toEqual([["k", "a"]]);
  });

  test("goes if it is the probe already", () => {
    const { held, probes } = decideHolds(runs, [breaker({ state: "half_open", probe_run_id: "b" })]);
    expect(held).toEqual(["a", "c"]);
    expect(probes.size).toBe(0);
  });
});
