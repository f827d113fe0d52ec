import { describe, expect, test } from "vitest";
import { CANCEL_GRACE_MS } from "../../../src/schedule/run-transitions.ts";
import { cancelFlagged, type Heard, judgeOverdue } from "../../../src/schedule/supervision.ts";
import { inStatus, T0 } from "../../support/run-state.ts";

const s = (seconds: number) => T0 + seconds * 1_000;
/** Listening without a gap since long before. */
const heard = (until: number, since = s(-3_600)): Heard => ({ since, until });
const ENDED = ["completed", "failed", "cancelled", "skipped"] as const;

describe("a run that nobody started", () => {
  test("pending: fails its attempt at the start deadline, whatever was heard: no message could have met it", () => {
    const run = inStatus("pending", { deadline_at: s(60) });
    for (const what of [null, heard(s(0)), heard(s(90))]) {
      const judgement = judgeOverdue(run, s(60), what);
      expect(judgement).toMatchObject({ kind: "end", tell_consumer: false });
      expect(judgement).toMatchObject({
        transition: { run: { status: "pending", attempt: 2 }, archived: { status_reason: "not_started" } },
      });
    }
  });

  test("dispatched: only once everything up to the deadline has been heard, and the consumer is told", () => {
    const run = inStatus("dispatched", { deadline_at: s(60) }, { max_attempts: 1 });
    expect(judgeOverdue(run, s(60), null)).toEqual({ kind: "wait" });
    expect(judgeOverdue(run, s(600), heard(s(59)))).toEqual({ kind: "wait" });
    expect(judgeOverdue(run, s(61), heard(s(60)))).toMatchObject({
      kind: "end",
      tell_consumer: true,
      transition: { run: { status: "failed", status_reason: "not_started", error_code: "not_started" } },
    });
  });
});

describe("a time-out", () => {
  const run = inStatus("running", { started_at: s(0), heartbeat_at: s(9) }, { timeout_seconds: 10, max_attempts: 2 });

  test("counts from started, and only what was heard", () => {
    expect(judgeOverdue({ ...run, deadline_at: s(10) }, s(10), heard(s(9)))).toEqual({ kind: "wait" });
    expect(judgeOverdue({ ...run, deadline_at: s(10) }, s(600), null)).toEqual({ kind: "wait" });
    expect(judgeOverdue({ ...run, deadline_at: s(10) }, s(11), heard(s(10)))).toMatchObject({
      kind: "end",
      tell_consumer: true,
      transition: { run: { status: "pending", attempt: 2 }, archived: { status_reason: "timeout" } },
    });
  });

  test("comes even to a run that beats", () => {
    const beating = { ...run, heartbeat_at: s(10), policy: { ...run.policy, heartbeat_seconds: 5 } };
    expect(judgeOverdue(beating, s(11), heard(s(11)))).toMatchObject({
      transition: { archived: { status_reason: "timeout" } },
    });
  });
});

describe("a heartbeat", () => {
  const watched = { timeout_seconds: 7_200, heartbeat_seconds: 60, max_attempts: 1 };
  const run = inStatus("running", { started_at: s(0), heartbeat_at: s(0), deadline_at: s(60) }, watched);

  test("is lost once the silence was heard for longer than allowed", () => {
    expect(judgeOverdue(run, s(61), heard(s(60)))).toEqual({ kind: "wait" });
    expect(judgeOverdue(run, s(62), heard(s(61)))).toMatchObject({
      kind: "end",
      tell_consumer: true,
      transition: { run: { status: "failed", status_reason: "heartbeat_lost" } },
    });
  });

  test("is not lost while nobody listens, however long", () => {
    expect(judgeOverdue(run, s(86_400), heard(s(60)))).toMatchObject({ kind: "wait" });
    expect(judgeOverdue(run, s(86_400), null).kind).not.toBe("end");
  });

  test("that came after the deadline was set moves it", () => {
    const beaten = { ...run, heartbeat_at: s(45) };
    expect(judgeOverdue(beaten, s(61), heard(s(61)))).toEqual({ kind: "move", deadline_at: s(105) });
  });

  test("heard late, after the deadline, keeps the run", () => {
    const late = { ...run, heartbeat_at: s(70) };
    expect(judgeOverdue(late, s(71), heard(s(71)))).toEqual({ kind: "move", deadline_at: s(130) });
  });

  test("counts anew from the moment at which listening resumed", () => {
    // Nobody listened from 30 to 100: what was sent then may have been lost with the broker.
    expect(judgeOverdue(run, s(105), heard(s(104), s(100)))).toEqual({ kind: "move", deadline_at: s(160) });
    expect(judgeOverdue({ ...run, deadline_at: s(160) }, s(162), heard(s(161), s(100)))).toMatchObject({
      transition: { run: { status_reason: "heartbeat_lost" } },
    });
  });

  test("never moves the deadline past the time-out", () => {
    const short = { ...run, heartbeat_at: s(59), policy: { ...run.policy, timeout_seconds: 70 } };
    expect(judgeOverdue(short, s(61), heard(s(61)))).toEqual({ kind: "move", deadline_at: s(70) });
  });

  test("is not owed by a run whose policy asks for none", () => {
    const free = inStatus("running", { started_at: s(0), heartbeat_at: s(0), deadline_at: s(60) });
    expect(judgeOverdue(free, s(61), heard(s(61)))).toEqual({ kind: "move", deadline_at: s(7_200) });
  });
});

describe("a request to cancel", () => {
  const flags = { cancel_requested_at: s(0), cancel_reason: "requested", cancel_sent_at: s(0), deadline_at: s(30) };

  for (const status of ["dispatched", "running"] as const) {
    test(`${status}: unanswered after the grace period`, () => {
      const run = inStatus(status, flags);
      expect(judgeOverdue(run, s(31), heard(s(29)))).toEqual({ kind: "wait" });
      expect(judgeOverdue(run, s(31), heard(s(30)))).toMatchObject({
        kind: "end",
        tell_consumer: false,
        transition: { run: { status: "cancelled", status_reason: "unanswered", completed_at: s(31) }, archived: null },
      });
    });

    test(`${status}: after twice the grace period even where nothing is heard`, () => {
      const run = inStatus(status, flags);
      expect(judgeOverdue(run, s(59), null)).toEqual({ kind: "wait" });
      expect(judgeOverdue(run, s(60), null)).toMatchObject({ transition: { run: { status_reason: "unanswered" } } });
    });
  }

  for (const status of ["waiting", "pending"] as const) {
    test(`${status}: ends at once`, () => {
      const { run, tell_consumer } = cancelFlagged(inStatus(status, { cancel_reason: "deleted" }), false, s(1));
      expect(run).toMatchObject({
        status: "cancelled",
        status_reason: "deleted",
        completed_at: s(1),
        deadline_at: null,
      });
      expect(tell_consumer).toBe(false);
    });
  }

  for (const status of ["dispatched", "running"] as const) {
    test(`${status}: the consumer is asked and has its grace period; a parent waits for its children`, () => {
      const { run, tell_consumer } = cancelFlagged(inStatus(status), false, s(1));
      expect(run).toMatchObject({ status, cancel_sent_at: s(1), deadline_at: s(1) + CANCEL_GRACE_MS });
      expect(tell_consumer).toBe(true);
      const parent = cancelFlagged(inStatus(status, { deadline_at: null }), true, s(1));
      expect(parent.run).toMatchObject({ status, cancel_sent_at: s(1), deadline_at: null });
      expect(parent.tell_consumer).toBe(false);
    });
  }

  for (const status of ENDED) {
    test(`${status}: nothing is left to cancel`, () => {
      const run = inStatus(status);
      expect(cancelFlagged(run, false, s(9)).run).toBe(run);
    });
  }
});

describe("a wait", () => {
  for (const [reason, becomes] of [
    ["blocked", "dependency"],
    ["buffered", "overlap"],
    ["breaker_open", "overload"],
  ] as const) {
    test(`${reason}: ends as skipped: ${becomes}`, () => {
      const run = inStatus("waiting", { status_reason: reason, deadline_at: s(60) });
      expect(judgeOverdue(run, s(60), null)).toMatchObject({
        tell_consumer: false,
        transition: { run: { status: "skipped", status_reason: becomes, deadline_at: null }, archived: null },
      });
    });
  }
});

for (const status of ENDED) {
  test(`a deadline left on a run that is ${status} is taken away, and nothing else happens`, () => {
    expect(judgeOverdue(inStatus(status, { deadline_at: s(1) }), s(2), heard(s(2)))).toEqual({
      kind: "move",
      deadline_at: null,
    });
  });
}
