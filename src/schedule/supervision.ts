import type { Instant } from "./instant.ts";
import { end, failAttempt, type RunState, runningDeadline, type Transition } from "./run-transitions.ts";

/** How long a consumer has to answer a request to stop, ms. */
export const CANCEL_GRACE_MS = 30_000;

/** Between which instants everything that consumers said is known to have been heard; null: never so far. */
export type Heard = { readonly since: Instant; readonly until: Instant } | null;

export type Judgement =
  | { readonly kind: "end"; readonly transition: Transition; readonly tell_consumer: boolean }
  /** Nothing is wrong; look again at this instant. */
  | { readonly kind: "move"; readonly deadline_at: Instant }
  /** It looks overdue, but its answer may lie unread: ask again when ingest has caught up. */
  | { readonly kind: "wait" };

/**
 * Judges a run whose deadline has passed. Silence counts only while the service was listening: deadlines that a message
 * could have met are held against the instant up to which everything is known to have been heard, so that an outage of
 * the service, the broker or Postgres fails nobody's run.
 */
export function judgeOverdue(run: RunState, now: Instant, heard: Heard): Judgement {
  const until = heard?.until ?? Number.NEGATIVE_INFINITY;
  const deadline = run.deadline_at ?? now;
  switch (run.status) {
    case "waiting":
      return ended(run, waitedInVain(run, now), false);
    case "pending":
      return failed(run, "not_started", "was not handed to a consumer before its start deadline", now, false);
    case "dispatched":
      if (run.cancel_sent_at !== null) return unanswered(run, now, until);
      if (until < deadline) return { kind: "wait" };
      return failed(run, "not_started", "no consumer started it before its start deadline", now, true);
    case "running":
      return run.cancel_sent_at !== null ? unanswered(run, now, until) : judgeRunning(run, now, heard, until);
    default:
      return ended(run, { ...run, deadline_at: null }, false);
  }
}

function judgeRunning(run: RunState, now: Instant, heard: Heard, until: Instant): Judgement {
  const { timeout_seconds, heartbeat_seconds } = run.policy;
  const timeoutAt = (run.started_at ?? now) + timeout_seconds * 1_000;
  if (until >= timeoutAt) return failed(run, "timeout", `did not end within ${timeout_seconds} s`, now, true);
  if (heartbeat_seconds !== null) {
    const lastSign = Math.max(run.heartbeat_at ?? run.started_at ?? now, heard?.since ?? now);
    if (until - lastSign > heartbeat_seconds * 1_000) {
      return failed(run, "heartbeat_lost", `was silent for more than ${heartbeat_seconds} s`, now, true);
    }
  }
  const next = runningDeadline(run);
  return next > now ? { kind: "move", deadline_at: next } : { kind: "wait" };
}

// The grace period is for the consumer; from its end on the run is fenced, whatever still arrives.
function unanswered(run: RunState, now: Instant, until: Instant): Judgement {
  if (until < (run.deadline_at ?? now) && now < (run.deadline_at ?? now) + CANCEL_GRACE_MS) return { kind: "wait" };
  return ended(run, end(run, "cancelled", "unanswered", now), false);
}

function waitedInVain(run: RunState, now: Instant): RunState {
  if (run.status_reason === "blocked") return end(run, "skipped", "dependency", now);
  return end(run, "skipped", run.status_reason === "breaker_open" ? "overload" : "overlap", now);
}

function ended(run: RunState, after: RunState, tell_consumer: boolean): Judgement {
  return {
    kind: "end",
    transition: { run: after, verdict: "applied", archived: null },
    tell_consumer: tell_consumer && run !== after,
  };
}

function failed(
  run: RunState,
  reason: "timeout" | "heartbeat_lost" | "not_started",
  message: string,
  now: Instant,
  tell_consumer: boolean,
): Judgement {
  return { kind: "end", transition: failAttempt(run, { reason, code: reason, message }, now), tell_consumer };
}
