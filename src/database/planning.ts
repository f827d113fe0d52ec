import type { FieldError } from "../schedule/errors.ts";
import { toPostgres } from "../schedule/instant.ts";
import type { Plan, PlannedSchedule } from "../schedule/planning.ts";
import { DEFAULT_POLICY } from "../schedule/policy.ts";
import { occurrenceRunId } from "../schedule/run-id.ts";
import type { Statement, Tx } from "./connection.ts";
import { TIMING_COLUMNS } from "./due-schedules.ts";
import { insertRuns } from "./new-runs.ts";

export interface ScheduleToPlan extends PlannedSchedule {
  readonly depends_on: readonly string[];
  readonly problem: string | null;
}

const COLUMNS = `s.id, ${TIMING_COLUMNS}, s.enabled, s.paused_until, s.action, s.action_version, s.payload, s.targets,
  s.max_runs, s.run_count, s.plan_from, s.last_occurrence_at, s.next_run_at, s.problem, s.depends_on, s.overlap,
  s.max_attempts, s.retry_backoff_seconds, s.retry_backoff_multiplier, s.retry_backoff_max_seconds, s.timeout_seconds,
  s.heartbeat_seconds, s.start_deadline_seconds, s.priority, s.pool, s.notify_on`;

const CLAIM: Statement = {
  name: "claim_to_plan",
  text: `SELECT ${COLUMNS} FROM schedules s WHERE s.needs_planning ORDER BY s.id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED`,
};
const LOCK_ONE: Statement = {
  name: "lock_to_plan",
  text: `SELECT ${COLUMNS} FROM schedules s WHERE s.id = $1 FOR NO KEY UPDATE`,
};

export function claimSchedulesToPlan(tx: Tx, limit: number): Promise<ScheduleToPlan[]> {
  return tx.query<ScheduleToPlan>(CLAIM, [limit]);
}

export async function lockScheduleToPlan(tx: Tx, id: string): Promise<ScheduleToPlan | undefined> {
  const [schedule] = await tx.query<ScheduleToPlan>(LOCK_ONE, [id]);
  return schedule;
}

// None of these columns is a user's, so the trigger that asks for planning does not run.
const WRITE: Statement = {
  name: "write_plans",
  text: `
    UPDATE schedules s SET needs_planning = false, next_run_at = p.next_run_at, problem = p.problem, resolved = p.resolved
    FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::jsonb[]) AS p (id, next_run_at, problem, resolved)
    WHERE s.id = p.id`,
};

export interface MadePlan {
  readonly schedule: ScheduleToPlan;
  readonly plan: Plan;
}

export async function writePlans(tx: Tx, plans: readonly MadePlan[]): Promise<void> {
  await tx.query(WRITE, [
    plans.map(({ schedule }) => schedule.id),
    plans.map(({ plan }) => (plan.next_run_at === null ? null : toPostgres(plan.next_run_at))),
    plans.map(({ plan }) => inWords(plan.errors)),
    plans.map(({ plan }) => (plan.resolved === null ? null : JSON.stringify(plan.resolved))),
  ]);
  const missed = plans.filter(({ plan }) => plan.missed !== null);
  if (missed.length === 0) return;
  await insertRuns(
    tx,
    missed.map(({ schedule, plan }) => ({
      id: occurrenceRunId(schedule.id, plan.missed!),
      schedule_id: schedule.id,
      schedule_name: schedule.name,
      action: schedule.action,
      action_version: schedule.action_version,
      payload: schedule.payload,
      targets: null,
      trigger_type: "scheduled",
      triggered_by: schedule.name,
      scheduled_for: plan.missed,
      policy: plan.resolved ?? DEFAULT_POLICY,
      exclusive: false,
      status: "skipped",
      status_reason: "missed",
      breaker_key: null,
      traceparent: null,
    })),
  );
}

/** Errors as a schedule's `problem`: `cron_expression: …; payload.max_strategies: …`. */
export function inWords(errors: readonly FieldError[]): string | null {
  return errors.length === 0 ? null : errors.map((error) => `${error.field}: ${error.message}`).join("; ");
}

const POOLS: Statement = { name: "pool_names", text: "SELECT name FROM pools" };

export async function poolNames(tx: Tx): Promise<Set<string>> {
  const rows = await tx.query<{ name: string }>(POOLS);
  return new Set(rows.map((row) => row.name));
}

const MARK: Statement = {
  name: "mark_for_planning",
  text: `
    UPDATE schedules SET needs_planning = true
    WHERE id IN (SELECT id FROM schedules WHERE id > $1 AND ($2::uuid[] IS NULL OR id = ANY($2))
                 ORDER BY id LIMIT $3 FOR NO KEY UPDATE)
    RETURNING id`,
};

/**
 * Asks for a batch of schedules to be validated and planned anew, `plan_from` untouched: a reload is no edit, and what is
 * due stays due. Answers their ids in order.
 */
export async function markForPlanning(
  tx: Tx,
  after: string,
  only: readonly string[] | null,
  limit: number,
): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(MARK, [after, only, limit]);
  return rows.map((row) => row.id).sort();
}
