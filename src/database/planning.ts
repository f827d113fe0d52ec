import type { Missed } from "../schedule/catch-up.ts";
import type { FieldError } from "../schedule/errors.ts";
import { type Instant, toIso, toPostgresOrNull } from "../schedule/instant.ts";
import type { Plan, PlannedSchedule } from "../schedule/planning.ts";
import { DEFAULT_POLICY } from "../schedule/policy.ts";
import { occurrenceRunId } from "../schedule/run-id.ts";
import { newEntries } from "./agenda-entries.ts";
import type { Statement, Tx } from "./connection.ts";
import { TIMING_COLUMNS } from "./due-schedules.ts";
import { tellSkipped } from "./run-events.ts";

export interface ScheduleToPlan extends PlannedSchedule {
  readonly depends_on: readonly string[];
  readonly problem: string | null;
  /** It has never been planned, or only with a problem. */
  readonly unresolved: boolean;
}

const COLUMNS = `s.id, ${TIMING_COLUMNS}, s.enabled, s.paused_until, s.action, s.action_version, s.payload, s.targets,
  s.max_runs, s.run_count, s.plan_from, s.last_occurrence_at, s.next_run_at, s.problem, s.depends_on, s.overlap,
  s.max_attempts, s.retry_backoff_seconds, s.retry_backoff_multiplier, s.retry_backoff_max_seconds, s.timeout_seconds,
  s.heartbeat_seconds, s.start_deadline_seconds, s.priority, s.pool, s.notify_on, s.updated_at,
  s.resolved->'superseded' AS superseded, s.resolved IS NULL AS unresolved, pocketwatch_now() AS now`;

const CLAIM: Statement = {
  name: "claim_to_plan",
  text: `SELECT ${COLUMNS} FROM schedules s WHERE s.needs_planning ORDER BY s.id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED`,
};
const LOCK_ONE: Statement = {
  name: "lock_to_plan",
  text: `SELECT ${COLUMNS} FROM schedules s WHERE s.id = $1 FOR NO KEY UPDATE`,
};

const LOCK_SOME: Statement = {
  name: "lock_some_to_plan",
  text: `
    SELECT ${COLUMNS} FROM schedules s WHERE s.id = ANY($1::uuid[]) AND s.needs_planning ORDER BY s.id FOR NO KEY UPDATE`,
};

/** Those of these schedules that have been edited and not planned since. */
export function lockSchedulesToPlan(tx: Tx, ids: readonly string[]): Promise<ScheduleToPlan[]> {
  return tx.query<ScheduleToPlan>(LOCK_SOME, [ids]);
}

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
    WITH plan AS (
      SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[])
        AS p (id, next_run_at, entry, problem, resolved, missed_until)
    ), entered AS (
      INSERT INTO agenda (next_run_at, id, schedule_ids)
      SELECT next_run_at, entry, array_agg(id) FROM plan WHERE entry IS NOT NULL GROUP BY next_run_at, entry
    )
    UPDATE schedules s SET needs_planning = false, next_run_at = p.next_run_at, not_due = p.next_run_at IS NULL,
      entered_by = pg_current_xact_id(), problem = p.problem, resolved = p.resolved::jsonb,
      last_occurrence_at = greatest(s.last_occurrence_at, p.missed_until)
    FROM plan p WHERE s.id = p.id`,
};

// The row of a missed range, as fire writes it; what is not named here is copied from the schedule.
const WRITE_MISSED: Statement = {
  name: "write_missed",
  text: `
    INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, payload, trigger_type, triggered_by,
      scheduled_for, priority, pool, policy, status, status_reason, available_at, completed_at, result, created_at)
    SELECT m.id, s.id, s.name, s.action, s.action_version, s.payload, 'scheduled', s.name, m.scheduled_for,
      (m.policy->>'priority')::smallint, m.policy->>'pool', m.policy, 'skipped', 'missed', pocketwatch_now(),
      pocketwatch_now(), m.result, pocketwatch_now()
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::jsonb[], $5::jsonb[])
      AS m (id, schedule_id, scheduled_for, policy, result)
    JOIN schedules s ON s.id = m.schedule_id
    ON CONFLICT (id) DO NOTHING
    RETURNING id`,
};

// Whether a schedule may wait for others depends on rows that are not its own. GIN finds who names one of the planned. A
// row that somebody holds is being edited, which has it planned anew anyway.
const MARK_DEPENDENTS: Statement = {
  name: "mark_dependents",
  text: `
    UPDATE schedules SET needs_planning = true
    WHERE id IN (
      SELECT id FROM schedules
      WHERE cardinality(depends_on) > 0 AND depends_on && $1::uuid[] AND problem LIKE '%depends_on: %'
        AND NOT needs_planning
      FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id`,
};

/** Asks for the dependents of these schedules to be planned anew that had a problem with their dependencies. */
async function markDependents(tx: Tx, ids: readonly string[]): Promise<number> {
  if (ids.length === 0) return 0;
  return (await tx.query(MARK_DEPENDENTS, [ids])).length;
}

export interface MadePlan {
  readonly schedule: ScheduleToPlan;
  readonly plan: Plan;
}

/** What follows from plans that were written. */
export interface WrittenPlans {
  /** Occurrences were missed, which somebody may have to be told. */
  readonly missed: boolean;
  /** So many other schedules are to be planned anew. */
  readonly marked: number;
}

export async function writePlans(tx: Tx, plans: readonly MadePlan[]): Promise<WrittenPlans> {
  const entry = newEntries<Instant>();
  await tx.query(WRITE, [
    plans.map(({ schedule }) => schedule.id),
    plans.map(({ plan }) => toPostgresOrNull(plan.next_run_at)),
    plans.map(({ schedule, plan }) => (isEntered(schedule, plan) ? null : entry(plan.next_run_at))),
    plans.map(({ plan }) => inWords(plan.errors)),
    plans.map(({ plan }) => (plan.resolved === null ? null : JSON.stringify(plan.resolved))),
    plans.map(({ plan }) => toPostgresOrNull(plan.missed?.last ?? null)),
  ]);
  const mended = plans.filter(({ schedule, plan }) => schedule.unresolved && plan.errors.length === 0);
  const marked = await markDependents(
    tx,
    mended.map(({ schedule }) => schedule.id),
  );
  const missed = plans.flatMap(({ schedule, plan }) =>
    plan.missed === null ? [] : [{ ...plan.missed, schedule, plan }],
  );
  if (missed.length > 0) await writeMissed(tx, missed);
  return { missed: missed.length > 0, marked };
}

/**
 * Whether it stands on the agenda already, since planning came to the same instant. Fire takes one that comes due before it is
 * planned off, perhaps while this plan is made, so that one due within a minute (a statement takes 20 s at most) is entered again.
 */
function isEntered({ next_run_at, now }: ScheduleToPlan, plan: Plan): boolean {
  return plan.next_run_at === next_run_at && next_run_at !== null && next_run_at > now + 60_000;
}

async function writeMissed(tx: Tx, missed: readonly (MadePlan & Missed)[]): Promise<void> {
  const inserted = await tx.query<{ id: string }>(WRITE_MISSED, [
    missed.map(({ schedule, first }) => occurrenceRunId(schedule.id, first)),
    missed.map(({ schedule }) => schedule.id),
    missed.map(({ first }) => toPostgresOrNull(first)),
    missed.map(({ schedule, plan }) =>
      JSON.stringify(plan.resolved ?? { ...DEFAULT_POLICY, notify_on: schedule.notify_on }),
    ),
    missed.map(({ first, last, count }) => JSON.stringify({ first: toIso(first), last: toIso(last), count })),
  ]);
  await tellSkipped(
    tx,
    inserted.map((run) => run.id),
  );
}

const SET_PROBLEM: Statement = {
  name: "set_problem",
  text: "UPDATE schedules SET needs_planning = false, next_run_at = NULL, resolved = NULL, problem = $2 WHERE id = $1",
};

/** The plan of a schedule that Postgres does not take: nothing but why. */
export async function writeProblem(tx: Tx, id: string, problem: string): Promise<void> {
  await tx.query(SET_PROBLEM, [id, problem]);
}

const LONGEST_PROBLEM = 10_000;

/** Errors as a schedule's `problem`: `cron_expression: …; payload.max_strategies: …`. */
export function inWords(errors: readonly FieldError[]): string | null {
  if (errors.length === 0) return null;
  return storable(errors.map((error) => `${error.field}: ${error.message}`).join("; "));
}

/** Messages quote what was found, cut off anywhere: half a character would make jsonb refuse the event about it. */
export function storable(text: string): string {
  return text
    .slice(0, LONGEST_PROBLEM)
    .replaceAll("\0", "\uFFFD")
    .replace(/\p{Surrogate}/gu, "\uFFFD");
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
