import type { Instant } from "./instant.ts";
import {
  type AttemptFailure,
  CANCEL_GRACE_MS,
  cancelReason,
  end,
  failAttempt,
  hasEnded,
  type RunState,
  runningDeadline,
  type Transition,
} from "./run-transitions.ts";

/** A deadline nearer than this is not left to the next poll (30 s): supervise is told of it. */
const SOON_MS = 30_000;

export function isSoon(deadline: Instant | null, now: Instant): boolean {
  return deadline !== null && deadline - now < SOON_MS;
}

/** Between which instants everything that consumers said is known to have been heard; null: never so far. */
export type Heard = { readonly since: Instant; readonly until: Instant } | null;

export type Judgement =
  | { readonly kind: "end"; readonly transition: Transition; readonly tell_consumer: boolean }
  /** Nothing is wrong; look again at this instant. */
  | { readonly kind: "move"; readonly deadline_at: Instant | null }
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
      return ended(waitedInVain(run, now), false);
    case "pending":
      return failed(run, "not_started", "was not handed to a consumer before its start deadline", now, false);
    case "dispatched":
      if (run.cancel_sent_at !== null) return unanswered(run, deadline, now, until);
      if (until < deadline) return { kind: "wait" };
      return failed(run, "not_started", "no consumer started it before its start deadline", now, true);
    case "running":
      return run.cancel_sent_at !== null ? unanswered(run, deadline, now, until) : judgeRunning(run, now, heard);
    default:
      // An ended run has no deadline; one that was set by hand is taken away again.
      return { kind: "move", deadline_at: null };
  }
}

function judgeRunning(run: RunState, now: Instant, heard: Heard): Judgement {
  const until = heard?.until ?? Number.NEGATIVE_INFINITY;
  const { timeout_seconds, heartbeat_seconds } = run.policy;
  const timeoutAt = (run.started_at ?? now) + timeout_seconds * 1_000;
  if (until >= timeoutAt) return failed(run, "timeout", `did not end within ${timeout_seconds} s`, now, true);
  let next = runningDeadline(run);
  if (heartbeat_seconds !== null) {
    // From the later of its last sign of life and the moment from which on it could have been heard.
    const lastSign = Math.max(run.heartbeat_at ?? run.started_at ?? now, heard?.since ?? now);
    const lostAt = lastSign + heartbeat_seconds * 1_000;
    if (until > lostAt) {
      return failed(run, "heartbeat_lost", `was silent for more than ${heartbeat_seconds} s`, now, true);
    }
    next = Math.min(timeoutAt, lostAt);
  }
  return next > now ? { kind: "move", deadline_at: next } : { kind: "wait" };
}

// The grace period is for the consumer; from its end on the run is fenced, whatever still arrives. A service that hears
// nothing gives it twice the time, and no more: whoever cancels wants an end.
function unanswered(run: RunState, deadline: Instant, now: Instant, until: Instant): Judgement {
  if (until < deadline && now < deadline + CANCEL_GRACE_MS) return { kind: "wait" };
  return ended(end(run, "cancelled", "unanswered", now), false);
}

function waitedInVain(run: RunState, now: Instant): RunState {
  if (run.status_reason === "blocked") return end(run, "skipped", "dependency", now);
  return end(run, "skipped", run.status_reason === "breaker_open" ? "overload" : "overlap", now);
}

export interface Cancelling {
  readonly run: RunState;
  readonly tell_consumer: boolean;
}

/**
 * Acts on the flag that asks for a run to be cancelled. What no consumer has seen ends at once; a consumer is asked to
 * stop, and has a grace period from then on. A parent only notes that its children are asked.
 */
export function cancelFlagged(run: RunState, isParent: boolean, now: Instant): Cancelling {
  if (hasEnded(run.status)) return { run, tell_consumer: false };
  if (run.status === "waiting" || run.status === "pending") {
    return { run: end(run, "cancelled", cancelReason(run), now), tell_consumer: false };
  }
  const asked = { ...run, cancel_sent_at: now };
  if (isParent) return { run: asked, tell_consumer: false };
  return { run: { ...asked, deadline_at: now + CANCEL_GRACE_MS }, tell_consumer: true };
}

function ended(after: RunState, tell_consumer: boolean): Judgement {
  return { kind: "end", transition: { run: after, verdict: "applied", archived: null, stop: false }, tell_consumer };
}

function failed(
  run: RunState,
  reason: Exclude<AttemptFailure["reason"], "error" | "rejected">,
  message: string,
  now: Instant,
  tell_consumer: boolean,
): Judgement {
  return { kind: "end", transition: failAttempt(run, { reason, code: reason, message }, now), tell_consumer };
}
