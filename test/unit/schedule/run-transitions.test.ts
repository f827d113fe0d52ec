import { describe, expect, test } from "vitest";
import {
  applyUpdate,
  CANCEL_GRACE_MS,
  failAttempt,
  hasEnded,
  nextAttempt,
  type RunState,
  runningDeadline,
  type StatusUpdate,
} from "../../../src/schedule/run-transitions.ts";
import { anUpdate, aRun, inStatus, T0 } from "../../support/run-state.ts";

const NOW = T0 + 5_000;
const OPEN = ["waiting", "pending", "dispatched", "running"] as const;
const ENDS = ["completed", "failed", "cancelled", "skipped"] as const;
const MESSAGES = ["started", "progress", "heartbeat", "completed", "failed", "cancelled", "skipped"] as const;

const apply = (run: RunState, update: StatusUpdate) => applyUpdate(run, update, NOW);

/** Where a message of the current attempt leads from an attempt that is under way; policies allow three attempts. */
const LEADS_TO = {
  started: "running",
  progress: "running",
  heartbeat: "running",
  completed: "completed",
  failed: "pending",
  cancelled: "cancelled",
  skipped: "skipped",
} as const;

describe("every state and every message", () => {
  for (const message of MESSAGES) {
    for (const status of ["pending", "dispatched", "running"] as const) {
      test(`${message} of the current attempt moves ${status} to ${LEADS_TO[message]}`, () => {
        const { run, verdict } = apply(inStatus(status), anUpdate(message));
        expect(verdict).toBe("applied");
        expect(run.status).toBe(LEADS_TO[message]);
        expect(run.attempt).toBe(message === "failed" ? 2 : 1);
        expect(run.completed_at).toBe(hasEnded(run.status) ? NOW : null);
        expect(run.deadline_at === null).toBe(hasEnded(run.status));
      });
    }

    test(`${message} changes nothing of a run that waits: its attempt has not been handed to anyone`, () => {
      const before = inStatus("waiting", { attempt: 2 });
      expect(apply(before, anUpdate(message, { attempt: 2 }))).toMatchObject({ verdict: "stale", archived: null });
      expect(apply(before, anUpdate(message, { attempt: 2 })).run).toBe(before);
    });

    for (const status of ENDS) {
      test(`${message} is late for a run that is ${status}`, () => {
        const before = inStatus(status);
        const { run, verdict } = apply(before, anUpdate(message));
        expect(verdict).toBe("late");
        expect(run).toBe(before);
      });
    }

    for (const status of [...OPEN, ...ENDS]) {
      for (const attempt of [1, 3]) {
        test(`${message} of attempt ${attempt} changes nothing of attempt 2, ${status}`, () => {
          const before = inStatus(status, { attempt: 2 });
          const { run, verdict, archived } = apply(before, anUpdate(message, { attempt }));
          expect(verdict).toBe("stale");
          expect(run).toBe(before);
          expect(archived).toBeNull();
        });
      }
    }
  }

  for (const message of MESSAGES) {
    test(`a duplicate of ${message} changes nothing that the first did not`, () => {
      const update = anUpdate(message, { progress: 40, metrics: { a: 1 }, result: { done: true } });
      const once = apply(inStatus("running"), update).run;
      expect(apply(once, update).run).toEqual(once);
    });
  }
});

describe("the start of an attempt", () => {
  for (const message of ["started", "progress", "heartbeat", "completed", "failed", "skipped", "cancelled"] as const) {
    test(`${message} that comes first starts it`, () => {
      const before = inStatus("dispatched");
      const { run, archived } = apply(before, anUpdate(message, { worker: "/w7" }));
      expect(archived ?? run).toMatchObject({ started_at: NOW, heartbeat_at: NOW, worker: "/w7", dispatched_at: T0 });
    });
  }

  test("an answer before the run is seen as dispatched says that it was", () => {
    expect(apply(inStatus("pending"), anUpdate("started")).run).toMatchObject({
      status: "running",
      dispatched_at: NOW,
    });
  });

  test("the deadline is the time-out, or the first heartbeat that is due before it", () => {
    expect(apply(inStatus("dispatched"), anUpdate("started")).run.deadline_at).toBe(NOW + 7_200_000);
    const watched = inStatus("dispatched", {}, { heartbeat_seconds: 60 });
    expect(apply(watched, anUpdate("started")).run.deadline_at).toBe(NOW + 60_000);
    const short = inStatus("dispatched", {}, { heartbeat_seconds: 60, timeout_seconds: 10 });
    expect(apply(short, anUpdate("started")).run.deadline_at).toBe(NOW + 10_000);
  });

  test("a second started is a sign of life and does not move the start", () => {
    const before = inStatus("running");
    const { run } = apply(before, anUpdate("started", { worker: "/w2" }));
    expect(run).toMatchObject({ started_at: before.started_at, heartbeat_at: NOW, worker: "/w2" });
  });

  test("forgets the error of the attempt before", () => {
    const retried = inStatus("dispatched", { attempt: 2, error_code: "E", error_message: "no" });
    const { run } = apply(retried, anUpdate("started", { attempt: 2 }));
    expect(run).toMatchObject({ error_code: null, error_message: null });
  });
});

describe("signs of life", () => {
  test("any update moves heartbeat_at, and leaves the deadline to supervise", () => {
    for (const message of ["started", "progress", "heartbeat"] as const) {
      const before = inStatus("running", { deadline_at: T0 + 61_000 }, { heartbeat_seconds: 60 });
      const { run } = apply(before, anUpdate(message));
      expect(run).toMatchObject({ heartbeat_at: NOW, deadline_at: T0 + 61_000 });
      expect(runningDeadline(run)).toBe(NOW + 60_000);
    }
  });
});

describe("progress", () => {
  const running = inStatus("running", { progress: 50, progress_message: "half", progress_sequence: 10 });

  test("the newest sequence wins, whatever the order of arrival", () => {
    const older = apply(running, anUpdate("progress", { sequence: 9, progress: 20, message: "old" })).run;
    expect(older).toMatchObject({ progress: 50, progress_message: "half", progress_sequence: 10, heartbeat_at: NOW });
    const newer = apply(running, anUpdate("progress", { sequence: 11, progress: 20, message: "back" })).run;
    expect(newer).toMatchObject({ progress: 20, progress_message: "back", progress_sequence: 11 });
  });

  test("an update without progress keeps it", () => {
    const { run } = apply(running, anUpdate("heartbeat", { sequence: 11 }));
    expect(run).toMatchObject({ progress: 50, progress_message: "half", progress_sequence: 11 });
  });

  test("the next attempt counts its sequence from the start", () => {
    const failed = apply(running, anUpdate("failed", { sequence: 12, error: { message: "no" } })).run;
    const second = apply({ ...failed, status: "dispatched" }, anUpdate("started", { attempt: 2, sequence: 1 })).run;
    const { run } = apply(second, anUpdate("progress", { attempt: 2, sequence: 2, progress: 5 }));
    expect(run).toMatchObject({ progress: 5, progress_sequence: 2 });
  });

  test("a completed run is at 100, whatever it said last and in whatever order", () => {
    expect(apply(running, anUpdate("completed", { sequence: 3 })).run.progress).toBe(100);
    expect(apply(running, anUpdate("completed", { sequence: 30, progress: 90 })).run.progress).toBe(100);
  });

  test("an end needs no newer sequence, and its progress stays where it was", () => {
    const { run } = apply(running, anUpdate("skipped", { sequence: 1, message: "nothing to do" }));
    expect(run).toMatchObject({
      status: "skipped",
      status_reason: "consumer",
      progress: 50,
      error_message: "nothing to do",
    });
  });
});

describe("metrics and result", () => {
  test("metrics merge by name; of two values the one with the newer sequence stays", () => {
    const first = apply(inStatus("running"), anUpdate("progress", { sequence: 5, metrics: { a: 1, b: 1 } })).run;
    const older = apply(first, anUpdate("progress", { sequence: 4, metrics: { b: 0, c: 0 } })).run;
    expect(older.metrics).toEqual({ a: 1, b: 1, c: 0 });
    const newer = apply(older, anUpdate("progress", { sequence: 6, metrics: { c: 6 } })).run;
    expect(newer.metrics).toEqual({ a: 1, b: 1, c: 6 });
  });

  test("null and absent metrics change nothing", () => {
    const before = inStatus("running", { metrics: { a: 1 } });
    expect(apply(before, anUpdate("heartbeat", { metrics: null })).run.metrics).toEqual({ a: 1 });
    expect(apply(before, anUpdate("heartbeat")).run.metrics).toEqual({ a: 1 });
  });

  test("of results before the end the newest counts, and the end's own always", () => {
    const first = apply(inStatus("running"), anUpdate("progress", { sequence: 5, result: "five" })).run;
    expect(apply(first, anUpdate("progress", { sequence: 4, result: "four" })).run.result).toBe("five");
    expect(apply(first, anUpdate("completed", { sequence: 4, result: "end" })).run.result).toBe("end");
    expect(apply(first, anUpdate("completed", { sequence: 6 })).run.result).toBe("five");
    expect(apply(first, anUpdate("completed", { sequence: 6, result: null })).run.result).toBeNull();
  });
});

describe("failure and retry", () => {
  const failure = { error: { code: "E42", message: "no disk" } };

  test("the next attempt is pending after the backoff, with nothing of the old one but its error", () => {
    const before = inStatus("running", {
      progress: 30,
      progress_sequence: 7,
      metrics: { a: 1 },
      result: { half: true },
    });
    const { run, archived } = apply(before, anUpdate("failed", failure));
    expect(run).toMatchObject({
      status: "pending",
      status_reason: "retry",
      attempt: 2,
      error_code: "E42",
      error_message: "no disk",
      ...{ progress: null, progress_sequence: null, metrics: null, result: null, worker: null },
      ...{ dispatched_at: null, started_at: null, heartbeat_at: null, completed_at: null },
    });
    expect(run.available_at).toBeGreaterThan(NOW + 26_999);
    expect(run.available_at).toBeLessThanOrEqual(NOW + 30_000);
    expect(run.deadline_at).toBe(run.available_at + 86_400_000);
    expect(archived).toMatchObject({
      status: "failed",
      status_reason: "error",
      attempt: 1,
      error_code: "E42",
      error_message: "no disk",
      completed_at: NOW,
      ...{ progress: 30, metrics: { a: 1 }, result: { half: true }, worker: "/w1", started_at: T0 + 1_000 },
    });
  });

  test("with no attempt left it fails", () => {
    const before = inStatus("running", { attempt: 3 });
    const { run, archived } = apply(before, anUpdate("failed", { attempt: 3, ...failure }));
    expect(run).toMatchObject({ status: "failed", status_reason: "error", attempt: 3, error_message: "no disk" });
    expect(archived).toBeNull();
    const single = inStatus("running", {}, { max_attempts: 1 });
    expect(apply(single, anUpdate("failed", failure)).run.status).toBe("failed");
  });

  test("retryable false ends at once; true and absent do not", () => {
    const say = (retryable: boolean | null | undefined) =>
      apply(inStatus("running"), anUpdate("failed", { error: { message: "no", retryable } })).run.status;
    expect([say(false), say(true), say(null), say(undefined)]).toEqual(["failed", "pending", "pending", "pending"]);
  });

  test("a failure without an error says so, or what its message says", () => {
    expect(apply(inStatus("running"), anUpdate("failed")).archived?.error_message).toBe("the consumer gave no reason");
    const told = apply(inStatus("running"), anUpdate("failed", { message: "out of luck" }));
    expect(told.archived).toMatchObject({ error_code: null, error_message: "out of luck" });
  });

  test("a run that is to be cancelled is not tried again", () => {
    const before = inStatus("running", { cancel_requested_at: T0, cancel_sent_at: T0 });
    const { run, archived } = apply(before, anUpdate("failed", failure));
    expect(run).toMatchObject({ status: "failed", status_reason: "error" });
    expect(archived).toBeNull();
  });

  test("a whole life: two failures, then success", () => {
    let run = aRun();
    for (const attempt of [1, 2]) {
      run = apply({ ...run, status: "dispatched" }, anUpdate("started", { attempt, sequence: 1 })).run;
      run = apply(run, anUpdate("failed", { attempt, sequence: 2, ...failure })).run;
    }
    run = apply({ ...run, status: "dispatched" }, anUpdate("completed", { attempt: 3, sequence: 1, result: 7 })).run;
    expect(run).toMatchObject({ status: "completed", attempt: 3, result: 7, error_message: null, progress: 100 });
  });

  test("an explicit attempt forgets that the last one was cancelled", () => {
    const flags = { cancel_requested_at: T0, cancel_reason: "requested", cancel_sent_at: T0 };
    expect(nextAttempt(inStatus("cancelled", flags), NOW)).toMatchObject({
      ...{ status: "pending", attempt: 2, completed_at: null, deadline_at: NOW + 86_400_000 },
      ...{ cancel_requested_at: null, cancel_reason: null, cancel_sent_at: null },
    });
  });

  test("each reason of a failure is the end's reason", () => {
    for (const reason of ["timeout", "heartbeat_lost", "not_started", "rejected"] as const) {
      const last = inStatus("running", { attempt: 3 });
      expect(failAttempt(last, { reason, message: "m" }, NOW).run.status_reason).toBe(reason);
      expect(failAttempt(inStatus("running"), { reason, message: "m" }, NOW).archived?.status_reason).toBe(reason);
    }
  });
});

describe("cancelling", () => {
  const asked = { cancel_requested_at: T0, cancel_reason: "superseded", cancel_sent_at: T0 };

  test("the consumer's own word ends it, with the reason it was asked for", () => {
    const { run } = apply(inStatus("running", asked), anUpdate("cancelled"));
    expect(run).toMatchObject({ status: "cancelled", status_reason: "superseded", completed_at: NOW });
    expect(apply(inStatus("running"), anUpdate("cancelled")).run.status_reason).toBe("requested");
  });

  test("what somebody wrote as reason does not become a status_reason", () => {
    const free = inStatus("running", { ...asked, cancel_reason: "Bob said so" });
    expect(apply(free, anUpdate("cancelled")).run).toMatchObject({
      status_reason: "requested",
      cancel_reason: "Bob said so",
    });
  });

  test("completed all the same is completed", () => {
    expect(apply(inStatus("running", asked), anUpdate("completed")).run.status).toBe("completed");
  });

  test("one that starts after it was asked to stop is asked again, and has its grace period anew", () => {
    const before = inStatus("dispatched", { ...asked, deadline_at: T0 + CANCEL_GRACE_MS });
    const { run, stop } = apply(before, anUpdate("started"));
    expect(stop).toBe(true);
    expect(run).toMatchObject({ status: "running", cancel_sent_at: NOW, deadline_at: NOW + CANCEL_GRACE_MS });
    const { run: again, stop: twice } = apply(run, anUpdate("heartbeat"));
    expect(twice).toBe(false);
    expect(again.deadline_at).toBe(NOW + CANCEL_GRACE_MS);
  });

  test("whoever starts what the service has given up is told to stop; a late echo of their own word is not answered", () => {
    const stop = (run: RunState, update: StatusUpdate) => apply(run, update).stop;
    const started = anUpdate("started");
    expect(stop(inStatus("cancelled"), started)).toBe(true);
    expect(stop(inStatus("failed", { status_reason: "heartbeat_lost" }), started)).toBe(true);
    expect(stop(inStatus("failed"), started)).toBe(false);
    expect(stop(inStatus("completed"), started)).toBe(false);
    expect(stop(inStatus("cancelled"), anUpdate("heartbeat"))).toBe(false);
    expect(stop(inStatus("running", { attempt: 2 }), started)).toBe(true);
    expect(stop(inStatus("running"), anUpdate("started", { attempt: 2 }))).toBe(false);
  });
});
