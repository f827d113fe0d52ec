import { DEFAULT_POLICY, type RunPolicy } from "../../src/schedule/policy.ts";
import type { RunState, StatusUpdate } from "../../src/schedule/run-transitions.ts";

export const RUN_ID = "019b77b2-0000-7000-8000-000000000001";
export const T0 = Date.parse("2026-03-01T12:00:00Z");

/** A pending run as it is inserted; whatever differs is named. */
export function aRun(differences: Partial<RunState> = {}, policy: Partial<RunPolicy> = {}): RunState {
  return {
    id: RUN_ID,
    schedule_id: "019b77b2-0000-7000-8000-0000000000aa",
    parent_run_id: null,
    status: "pending",
    status_reason: null,
    error_code: null,
    error_message: null,
    attempt: 1,
    available_at: T0,
    progress: null,
    progress_message: null,
    progress_sequence: null,
    metrics: null,
    result: null,
    worker: null,
    dispatched_at: null,
    started_at: null,
    heartbeat_at: null,
    deadline_at: T0 + 86_400_000,
    cancel_requested_at: null,
    cancel_reason: null,
    cancel_sent_at: null,
    completed_at: null,
    policy: { ...DEFAULT_POLICY, ...policy },
    ...differences,
  };
}

/** The same run in another status, with the columns that go with it. */
export function inStatus(status: RunState["status"], differences: Partial<RunState> = {}, policy?: Partial<RunPolicy>) {
  const handed = { dispatched_at: T0 };
  const started = { ...handed, started_at: T0 + 1_000, heartbeat_at: T0 + 1_000, worker: "/w1" };
  const over = { ...started, completed_at: T0 + 2_000, deadline_at: null };
  const columns: Record<RunState["status"], Partial<RunState>> = {
    waiting: { status_reason: "buffered" },
    pending: {},
    dispatched: handed,
    running: { ...started, deadline_at: T0 + 1_000 + 7_200_000 },
    completed: { ...over, progress: 100 },
    failed: { ...over, status_reason: "error", error_message: "no" },
    cancelled: { ...over, status_reason: "requested" },
    skipped: { ...over, status_reason: "consumer" },
  };
  return aRun({ status, ...columns[status], ...differences }, policy);
}

let sequence = 0;

export function anUpdate(status: StatusUpdate["status"], differences: Partial<StatusUpdate> = {}): StatusUpdate {
  return { run_id: RUN_ID, attempt: 1, sequence: ++sequence, status, worker: "/w1", ...differences };
}
