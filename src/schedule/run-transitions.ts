import type { Instant } from "./instant.ts";
import type { RunPolicy } from "./policy.ts";
import { mayRetry, retryDelay } from "./retry.ts";

/*
 * What may happen to a run, as pure functions: a state and a fact go in, the next state comes out. Whoever calls them
 * (ingest, supervise, the commands) holds the row's lock and writes what they return.
 */

/** How long a consumer has to answer a request to stop, ms. */
export const CANCEL_GRACE_MS = 30_000;

export type OpenStatus = "waiting" | "pending" | "dispatched" | "running";
export type EndStatus = "completed" | "failed" | "cancelled" | "skipped";

/** The columns of a run that change between its trigger and its end. */
export interface RunState {
  readonly id: string;
  readonly schedule_id: string | null;
  readonly parent_run_id: string | null;
  readonly status: OpenStatus | EndStatus;
  readonly status_reason: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly attempt: number;
  readonly available_at: Instant;
  readonly progress: number | null;
  readonly progress_message: string | null;
  readonly progress_sequence: number | null;
  readonly metrics: Readonly<Record<string, number>> | null;
  readonly result: unknown;
  readonly worker: string | null;
  readonly dispatched_at: Instant | null;
  readonly started_at: Instant | null;
  readonly heartbeat_at: Instant | null;
  /** The next instant at which supervise has to look at the run. */
  readonly deadline_at: Instant | null;
  readonly cancel_requested_at: Instant | null;
  readonly cancel_reason: string | null;
  /** When the consumer was asked to stop. */
  readonly cancel_sent_at: Instant | null;
  readonly completed_at: Instant | null;
  readonly policy: RunPolicy;
}

/** What a consumer said, already checked against its contract. `worker` is the event's source. */
export interface StatusUpdate {
  readonly run_id: string;
  readonly attempt: number;
  readonly sequence: number;
  readonly status: "started" | "progress" | "heartbeat" | EndStatus;
  readonly progress?: number | null | undefined;
  readonly message?: string | null | undefined;
  readonly metrics?: Readonly<Record<string, number>> | null | undefined;
  readonly result?: unknown;
  readonly error?:
    | {
        readonly code?: string | null | undefined;
        readonly message: string;
        readonly retryable?: boolean | null | undefined;
      }
    | null
    | undefined;
  readonly worker: string;
}

/** `stale`: meant for another attempt; `late`: the run has ended. Neither changes anything. */
export type Verdict = "applied" | "stale" | "late";

export interface Transition {
  readonly run: RunState;
  readonly verdict: Verdict;
  /** The attempt that failed and is followed by another, as it stood at its end. */
  readonly archived: RunState | null;
  /** Somebody has begun work that is over or to be stopped: the request to stop may have passed before they listened. */
  readonly stop: boolean;
}

export function hasEnded(status: string): status is EndStatus {
  return status === "completed" || status === "failed" || status === "cancelled" || status === "skipped";
}

/**
 * Applies one status update. Answers are fenced by attempt; the order of arrival does not matter otherwise: an end needs
 * only the current attempt and a run that has not ended, `sequence` orders nothing but progress, and any update of the
 * current attempt is a sign of life. An answer is legal before the run is seen as dispatched, because a fast consumer
 * may answer before a recovered lease is written.
 */
export function applyUpdate(run: RunState, update: StatusUpdate, now: Instant): Transition {
  const begins = update.status === "started" && update.attempt <= run.attempt;
  if (update.attempt !== run.attempt) return unchanged(run, "stale", begins);
  if (hasEnded(run.status)) return unchanged(withLateMetrics(run, update), "late", begins && wasGivenUp(run));
  if (run.status === "waiting") return unchanged(run, "stale", begins);

  const alive = withReport(started(run, update.worker, now), update);
  switch (update.status) {
    case "completed":
      return applied(end({ ...alive, progress: 100 }, "completed", null, now));
    case "failed": {
      const error = update.error ?? { message: update.message ?? "the consumer gave no reason" };
      return failAttempt(alive, { reason: "error", code: null, ...error }, now);
    }
    case "cancelled":
      return applied(end(alive, "cancelled", cancelReason(run), now));
    case "skipped":
      return applied(end({ ...alive, error_message: update.message ?? null }, "skipped", "consumer", now));
    default:
      return { ...applied(alive), stop: alive.cancel_sent_at !== run.cancel_sent_at };
  }
}

// Ended by the service, as against by the consumer's own word, of which a duplicate may come late.
function wasGivenUp(run: RunState): boolean {
  return run.status === "cancelled" || (run.status === "failed" && run.status_reason !== "error");
}

export interface AttemptFailure {
  readonly reason: "error" | "timeout" | "heartbeat_lost" | "not_started" | "rejected";
  readonly code?: string | null | undefined;
  readonly message: string;
  readonly retryable?: boolean | null | undefined;
}

/** Ends the current attempt as failed: another one follows where the policy has one left, otherwise the run ends. */
export function failAttempt(run: RunState, failure: AttemptFailure, now: Instant): Transition {
  const failed: RunState = { ...run, error_code: failure.code ?? null, error_message: failure.message };
  const again = failure.retryable !== false && mayRetry(run.policy, run.attempt) && run.cancel_requested_at === null;
  if (!again) return applied(end(failed, "failed", failure.reason, now));
  return {
    run: nextAttempt(failed, now + retryDelay(run.policy, run.id, run.attempt)),
    verdict: "applied",
    archived: { ...failed, status: "failed", status_reason: failure.reason, completed_at: now },
    stop: false,
  };
}

/** The same run as `pending` in its next attempt, available from the given instant on. */
export function nextAttempt(run: RunState, availableAt: Instant): RunState {
  return {
    ...run,
    status: "pending",
    status_reason: "retry",
    attempt: run.attempt + 1,
    available_at: availableAt,
    deadline_at: availableAt + run.policy.start_deadline_seconds * 1_000,
    progress: null,
    progress_message: null,
    progress_sequence: null,
    metrics: null,
    result: null,
    worker: null,
    dispatched_at: null,
    started_at: null,
    heartbeat_at: null,
    cancel_requested_at: null,
    cancel_reason: null,
    cancel_sent_at: null,
    completed_at: null,
  };
}

const CANCEL_REASONS = ["requested", "superseded", "deleted"];

/** Why a run was cancelled, in the fixed vocabulary; what somebody wrote in their own words stays in `cancel_reason`. */
export function cancelReason(run: Pick<RunState, "cancel_reason">): string {
  return CANCEL_REASONS.includes(run.cancel_reason ?? "") ? run.cancel_reason! : "requested";
}

export function end(run: RunState, status: EndStatus, reason: string | null, now: Instant): RunState {
  return { ...run, status, status_reason: reason, completed_at: now, deadline_at: null };
}

/** When a running attempt has to be looked at next: at its time-out, or when its next sign of life is overdue. */
export function runningDeadline(run: RunState): Instant {
  const timeout = (run.started_at ?? 0) + run.policy.timeout_seconds * 1_000;
  if (run.policy.heartbeat_seconds === null) return timeout;
  return Math.min(timeout, (run.heartbeat_at ?? run.started_at ?? 0) + run.policy.heartbeat_seconds * 1_000);
}

function started(run: RunState, worker: string, now: Instant): RunState {
  // The deadline of a running attempt is not moved by each heartbeat: that would rewrite an index entry per message.
  // Supervise looks at the deadline first set, sees the later sign of life, and moves it on.
  if (run.status === "running") return { ...run, worker, heartbeat_at: now };
  const running: RunState = {
    ...run,
    status: "running",
    status_reason: null,
    worker,
    started_at: now,
    heartbeat_at: now,
    dispatched_at: run.dispatched_at ?? now,
    error_code: null,
    error_message: null,
  };
  // Asked to stop before it started: it is asked again, and has its grace period from now on.
  if (run.cancel_sent_at !== null) return { ...running, cancel_sent_at: now, deadline_at: now + CANCEL_GRACE_MS };
  return { ...running, deadline_at: runningDeadline(running) };
}

function withReport(run: RunState, update: StatusUpdate): RunState {
  const newest = run.progress_sequence === null || update.sequence > run.progress_sequence;
  const metrics = newest ? { ...run.metrics, ...update.metrics } : { ...update.metrics, ...run.metrics };
  // What an end says is the run's result, whatever its sequence; of the others the newest counts.
  const result = newest || hasEnded(update.status) || run.result == null;
  return {
    ...run,
    metrics: update.metrics == null ? run.metrics : metrics,
    result: update.result === undefined || !result ? run.result : update.result,
    progress: newest && update.progress != null ? update.progress : run.progress,
    progress_message: newest && update.message != null ? update.message : run.progress_message,
    progress_sequence: newest ? update.sequence : run.progress_sequence,
  };
}

// Instances share the status queue, so a report may be read after the end that was sent after it. What it measured counts.
function withLateMetrics(run: RunState, update: StatusUpdate): RunState {
  if (hasEnded(update.status) || update.metrics == null) return run;
  return { ...run, metrics: withReport(run, update).metrics };
}

function applied(run: RunState): Transition {
  return { run, verdict: "applied", archived: null, stop: false };
}

function unchanged(run: RunState, verdict: Verdict, stop: boolean): Transition {
  return { run, verdict, archived: null, stop };
}
