import type { Instant } from "../schedule/instant.ts";
import { dueSchedules } from "./agenda-entries.ts";
import type { Statement, Tx } from "./connection.ts";
import { HELD } from "./settings.ts";

export interface InstanceView {
  readonly id: string;
  readonly version: string;
  readonly started_at: Instant;
  readonly last_seen_at: Instant;
  readonly broker: string;
  readonly passes: unknown;
}

/** What the whole scheduler has on its hands. */
export interface SchedulerStatus {
  readonly now: Instant;
  readonly drained: boolean;
  /** The due schedule that has waited longest; null: none is overdue. */
  readonly oldest_due_at: Instant | null;
  readonly due: number;
  readonly to_plan: number;
  readonly waiting: number;
  readonly pending: number;
  /** Of the pending ones that could go, the one that has waited longest. */
  readonly oldest_pending_at: Instant | null;
  readonly in_flight: number;
  readonly leases: number;
  readonly leased_runs: number;
  readonly expired_leases: number;
  readonly outbox: number;
  readonly oldest_outbox_at: Instant | null;
}

// Every part reads a partial index that holds only what is open.
const STATUS: Statement = {
  name: "scheduler_status",
  text: `
    SELECT pocketwatch_now() AS now,
      ${HELD} AS drained,
      due.oldest_at AS oldest_due_at, due.count AS due,
      (SELECT count(*)::int FROM schedules WHERE needs_planning) AS to_plan,
      (SELECT count(*)::int FROM runs WHERE status = 'waiting' AND parent_run_id IS NULL) AS waiting,
      (SELECT count(*)::int FROM runs
       WHERE status = 'pending' AND child_total IS NULL AND cancel_requested_at IS NULL) AS pending,
      (SELECT min(available_at) FROM runs
       WHERE status = 'pending' AND child_total IS NULL AND cancel_requested_at IS NULL
         AND available_at <= pocketwatch_now()) AS oldest_pending_at,
      (SELECT count(*)::int FROM runs WHERE status IN ('dispatched', 'running') AND child_total IS NULL) AS in_flight,
      (SELECT count(*)::int FROM leases) AS leases,
      (SELECT coalesce(sum(cardinality(run_ids)), 0)::int FROM leases) AS leased_runs,
      (SELECT count(*)::int FROM leases WHERE lease_until < pocketwatch_now()) AS expired_leases,
      (SELECT count(*)::int FROM outbox) AS outbox,
      (SELECT min(created_at) FROM outbox) AS oldest_outbox_at
    FROM (SELECT min(next_run_at) AS oldest_at, count(*)::int AS count FROM ${dueSchedules("ALL")} AS s) AS due`,
};

export async function schedulerStatus(tx: Tx): Promise<SchedulerStatus> {
  const [status] = await tx.query<SchedulerStatus>(STATUS);
  return status!;
}

const INSTANCES: Statement = {
  name: "instances",
  text: "SELECT id, version, started_at, last_seen_at, broker, passes FROM instances ORDER BY last_seen_at DESC, id",
};

/** Instances heard of within a day, the latest first. */
export function listInstances(tx: Tx): Promise<InstanceView[]> {
  return tx.query<InstanceView>(INSTANCES);
}
