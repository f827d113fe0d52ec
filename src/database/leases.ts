import { randomUUID } from "node:crypto";
import type { Instant } from "../schedule/instant.ts";
import type { Policy, Priority } from "../schedule/policy.ts";
import type { Queryable, Statement, Tx } from "./connection.ts";
import type { TriggerType } from "./schema.ts";

/** A run as its trigger event needs it. `payload` is JSON text. */
export interface PublishableRun {
  readonly id: string;
  readonly attempt: number;
  readonly schedule_id: string | null;
  readonly schedule_name: string | null;
  readonly action: string;
  readonly action_version: number;
  readonly trigger_type: TriggerType;
  readonly triggered_by: string | null;
  readonly scheduled_for: Instant;
  /** Not to be started after this instant. */
  readonly deadline_at: Instant | null;
  readonly target: string | null;
  readonly priority: Priority;
  readonly policy: Pick<Policy, "timeout_seconds" | "heartbeat_seconds">;
  readonly payload: string;
  readonly traceparent: string | null;
}

/** The lease that runs are about to be committed to. */
export interface NewLease {
  readonly id: string;
  readonly instance: string;
}

export function newLease(instance: string): NewLease {
  return { id: randomUUID(), instance };
}

/** Runs that were committed as dispatched and are to be published; `now` is the database's instant of that. */
export interface Lease {
  readonly id: string;
  readonly now: Instant;
  readonly runs: readonly PublishableRun[];
}

export const PUBLISHABLE_COLUMNS = `r.id, r.attempt, r.schedule_id, r.schedule_name, r.action, r.action_version,
  r.trigger_type, r.triggered_by, r.scheduled_for, r.deadline_at, r.target, r.priority, r.policy,
  r.payload::text AS payload, r.traceparent`;

// The lease gets a new id: whoever held it (stopped for a while, or still waiting for the broker) cannot settle it any more.
const TAKE_OVER: Statement = {
  name: "take_over_lease",
  text: `
    UPDATE leases SET id = gen_random_uuid(), instance = $1, lease_until = pocketwatch_now() + interval '15 seconds'
    WHERE id = (SELECT id FROM leases WHERE lease_until < pocketwatch_now()
                ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, run_ids`,
};

// Only runs still handed to the broker: one that was answered meanwhile has reached its consumer, one that went back to
// pending has a lease of its own by now or will have one.
const LEASED_RUNS: Statement = {
  name: "leased_runs",
  text: `
    SELECT ${PUBLISHABLE_COLUMNS}, pocketwatch_now() AS now
    FROM runs r WHERE r.id = ANY($1::uuid[]) AND r.status = 'dispatched'
    ORDER BY r.scheduled_for, r.id`,
};

/** Takes over one lease whose holder did not finish in time (it crashed, stands still, or the broker was silent). */
export async function takeOverExpiredLease(tx: Tx, instance: string): Promise<Lease | null> {
  const [lease] = await tx.query<{ id: string; run_ids: string[] }>(TAKE_OVER, [instance]);
  if (lease === undefined) return null;
  const runs = await tx.query<PublishableRun & { now: Instant }>(LEASED_RUNS, [lease.run_ids]);
  return { id: lease.id, now: runs[0]?.now ?? 0, runs };
}

const KEEP_IN_LEASE: Statement = {
  name: "keep_in_lease",
  text: "UPDATE leases SET run_ids = $2::uuid[] WHERE id = $1 RETURNING id",
};
const END_LEASE: Statement = { name: "end_lease", text: "DELETE FROM leases WHERE id = $1 RETURNING id" };

/**
 * Leaves in the lease the runs whose fate is unknown; with none left the lease ends. False: somebody has taken it over
 * and answers for its runs.
 */
export async function settleLease(database: Queryable, id: string, unknown: readonly string[]): Promise<boolean> {
  const none = unknown.length === 0;
  const held = none ? await database.query(END_LEASE, [id]) : await database.query(KEEP_IN_LEASE, [id, unknown]);
  return held.length > 0;
}

// A run waits as long again as its attempt has waited already, between 1 s and 60 s: exponential without a counter to keep.
// Its attempt and its start deadline stay, because no consumer has seen it.
const UNDELIVERED: Statement = {
  name: "undelivered",
  text: `
    UPDATE runs SET status = 'pending', status_reason = 'unroutable', error_message = u.message, dispatched_at = NULL,
      available_at = pocketwatch_now()
        + least(greatest(pocketwatch_now() - runs.deadline_at
            + make_interval(secs => (runs.policy->>'start_deadline_seconds')::int), interval '1 second'), interval '60 seconds')
    FROM (SELECT r.id, m.message
          FROM unnest($1::uuid[], $2::int[], $3::text[]) AS m (id, attempt, message)
          JOIN runs r ON r.id = m.id AND r.attempt = m.attempt AND r.status = 'dispatched'
          ORDER BY r.id FOR UPDATE OF r) AS u
    WHERE runs.id = u.id`,
};

/** Puts back what the broker did not take. Runs that were answered all the same are left alone. */
export async function returnUndelivered(
  tx: Tx,
  runs: readonly { readonly id: string; readonly attempt: number; readonly message: string }[],
): Promise<void> {
  await tx.query(UNDELIVERED, [
    runs.map((run) => run.id),
    runs.map((run) => run.attempt),
    runs.map((run) => run.message),
  ]);
}
