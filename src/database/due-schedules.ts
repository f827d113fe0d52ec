import { BoundedCache } from "../schedule/bounded-cache.ts";
import { type Instant, toPostgres, toPostgresOrNull } from "../schedule/instant.ts";
import type { ResolvedPolicy } from "../schedule/planning.ts";
import type { Timing } from "../schedule/timing.ts";
import type { Statement, Tx } from "./connection.ts";
import type { NewLease } from "./leases.ts";
import type { Status, StatusReason } from "./schema.ts";

/** A due schedule as fire sees it. `payload` stays text: it is copied into messages, never looked into. */
export interface DueSchedule extends Timing {
  readonly id: string;
  /** The database's instant at the claim. */
  readonly now: Instant;
  readonly action: string;
  readonly action_version: number;
  readonly payload: string;
  readonly targets: readonly string[] | null;
  readonly catchup: "latest" | "all" | "skip";
  readonly catchup_window_seconds: number;
  readonly jitter_seconds: number;
  readonly max_runs: number | null;
  readonly run_count: number;
  readonly depends_on: readonly string[];
  readonly next_run_at: Instant;
  readonly plan_from: Instant | null;
  /** What planning resolved: the policy with every gap filled, and its breaker. */
  readonly resolved: ResolvedPolicy;
  /** Nothing in the way of this schedule's pool: no cap, not drained. */
  readonly pool_open: boolean;
}

export const TIMING_COLUMNS = `s.name, s.kind, s.cron_expression, s.interval_seconds, s.interval_anchor, s.run_at,
  s.calendar, s.timezone, s.dst_gap, s.dst_fold, s.starts_at, s.ends_at, s.created_at`;

export const DUE_COLUMNS = `s.id, pocketwatch_now() AS now, ${TIMING_COLUMNS}, s.action, s.action_version,
  s.payload::text AS payload, s.targets, s.catchup, s.catchup_window_seconds, s.jitter_seconds, s.max_runs, s.run_count,
  s.depends_on, s.next_run_at, s.plan_from, s.resolved::text AS resolved,
  EXISTS (SELECT FROM pools p
          WHERE p.name = s.resolved->>'pool' AND p.max_in_flight IS NULL AND NOT p.drained) AS pool_open`;

/** A schedule whose instant has come, locked. */
export interface ClaimedSchedule extends DueSchedule {
  /** Where its row is (`ctid`), for as long as it is locked. */
  readonly place: string;
  /** It is enabled and planned. Otherwise planning, which is asked for by whatever enables it, enters it anew. */
  readonly ready: boolean;
}

// SKIP LOCKED: a row that somebody edits right now is planned first.
const CLAIM_DUE: Statement = {
  name: "claim_due",
  text: `
    SELECT ${DUE_COLUMNS}, s.ctid::text AS place, s.enabled AND NOT s.needs_planning AS ready
    FROM schedules s
    WHERE s.id = ANY($1::uuid[]) AND s.next_run_at <= pocketwatch_now()
    ORDER BY s.next_run_at
    FOR NO KEY UPDATE OF s SKIP LOCKED`,
};

/** Locks those of the schedules whose instants have come and that nobody holds; the earliest first. */
export async function claimDueSchedules(tx: Tx, ids: readonly string[]): Promise<ClaimedSchedule[]> {
  return shareResolved<ClaimedSchedule>(await tx.query<AsText<ClaimedSchedule>>(CLAIM_DUE, [ids]));
}

export type AsText<Due extends DueSchedule> = Omit<Due, "resolved"> & { readonly resolved: string };

// A thousand schedules have a handful of policies: each is parsed once, and kept in memory once.
const policies = new BoundedCache<string, ResolvedPolicy>(1_000);

/** The rows as they are, with the policies that `DUE_COLUMNS` reads as text. */
export function shareResolved<Due extends DueSchedule>(rows: readonly AsText<Due>[]): Due[] {
  return rows.map((row) =>
    Object.assign(row as object, { resolved: policies.get(row.resolved, () => JSON.parse(row.resolved)) }),
  ) as Due[];
}

// Any unfinished exclusive run, and any waiting one, of schedule s; NULL where there is none. ORDER BY: see dispatch.ts.
export const BUSY = `(
  SELECT true FROM runs r WHERE r.schedule_id = s.id AND r.exclusive AND r.parent_run_id IS NULL
    AND r.status IN ('pending', 'dispatched', 'running')
  ORDER BY r.schedule_id LIMIT 1)`;
export const WAITING = `(
  SELECT true FROM runs r WHERE r.schedule_id = s.id AND r.status = 'waiting' AND r.parent_run_id IS NULL
  ORDER BY r.schedule_id, r.status_reason, r.id LIMIT 1)`;

// Read in a statement of its own, after the rows are locked: a manual trigger that committed between the claim's snapshot
// and its lock is seen here, and none can come after, because triggering locks the schedule too.
const UNFINISHED: Statement = {
  name: "unfinished_schedules",
  text: `
    SELECT s.id AS schedule_id, w.waiting
    FROM unnest($1::uuid[]) AS s (id), LATERAL (
      SELECT ${WAITING} IS NOT NULL AS waiting, ${BUSY} IS NOT NULL AS busy) AS w
    WHERE w.waiting OR w.busy`,
};

/** Which of the schedules have an unfinished exclusive run, and whether one of theirs is already waiting. */
export async function unfinishedSchedules(tx: Tx, ids: readonly string[]): Promise<Map<string, { waiting: boolean }>> {
  if (ids.length === 0) return new Map();
  const rows = await tx.query<{ schedule_id: string; waiting: boolean }>(UNFINISHED, [ids]);
  return new Map(rows.map((row) => [row.schedule_id, row]));
}

/** One run to insert for an occurrence; everything not named here is copied from its schedule's row. */
export interface NewOccurrenceRun {
  readonly id: string;
  readonly schedule_id: string;
  /** Where the schedule's locked row is. */
  readonly place: string;
  readonly scheduled_for: Instant;
  readonly status: Status;
  readonly status_reason: StatusReason | null;
  /** From the nominal instant to the one from which on it may be dispatched, ms. */
  readonly delay_ms: number;
  readonly result: unknown;
}

export interface Advance {
  readonly id: string;
  /** Where the schedule's locked row is. */
  readonly place: string;
  readonly next_run_at: Instant | null;
  /** The entry of the agenda that it goes into; null: it is not due again. */
  readonly entry: string | null;
  readonly last_occurrence_at: Instant;
  readonly last_run_id: string | null;
  readonly runs: number;
}

// One statement inserts the runs, advances their schedules, enters them in the agenda and opens the lease. An id that exists
// already (another instance, a crash, a hand-set next_run_at) inserts nothing, and the schedule advances all the same.
// Caught-up occurrences lie in the past: their time to start counts from now. The schedules' rows are locked, so they are where
// the claim found them: among a million, each look into the index costs 1.5 µs.
const FIRE: Statement = {
  name: "fire",
  text: `
    WITH due AS (
      SELECT d.*, d.scheduled_for + d.delay_ms * interval '1 millisecond' AS available_at
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::int[], $7::jsonb[], $17::tid[])
        AS d (id, schedule_id, scheduled_for, status, status_reason, delay_ms, result, place)
    ), inserted AS (
      INSERT INTO runs (id, schedule_id, schedule_name, action, action_version, payload, targets, child_total,
        child_expanded, trigger_type, triggered_by, scheduled_for, priority, pool, policy, exclusive, status,
        status_reason, available_at, deadline_at, completed_at, result, created_at, dispatched_at, breaker_key)
      SELECT d.id, s.id, s.name, s.action, s.action_version, s.payload, s.targets, nullif(cardinality(s.targets), 0),
        CASE WHEN cardinality(s.targets) > 0 THEN 0 END, 'scheduled', s.name, d.scheduled_for,
        (s.resolved->>'priority')::smallint, s.resolved->>'pool', s.resolved, s.resolved->>'overlap' <> 'allow', d.status,
        d.status_reason, d.available_at,
        CASE WHEN d.status <> 'skipped' THEN
          greatest(d.available_at, $8) + (s.resolved->>'start_deadline_seconds')::int * interval '1 second' END,
        CASE WHEN d.status = 'skipped' THEN $8::timestamptz END, d.result, $8,
        CASE WHEN d.status = 'dispatched' THEN $8::timestamptz END, s.resolved->>'breaker_key'
      FROM due d JOIN schedules s ON s.ctid = d.place AND s.id = d.schedule_id
      ON CONFLICT (id) DO NOTHING
      RETURNING id, status
    ), leased AS (
      INSERT INTO leases (id, instance, run_ids, lease_until)
      SELECT $9::uuid, $10, array_agg(id), pocketwatch_now() + interval '15 seconds'
      FROM inserted WHERE status = 'dispatched' HAVING count(*) > 0
      ON CONFLICT (id) DO UPDATE SET run_ids = leases.run_ids || excluded.run_ids
    ), advance AS (
      SELECT * FROM unnest($11::uuid[], $12::timestamptz[], $13::uuid[], $14::timestamptz[], $15::uuid[], $16::int[],
          $18::tid[])
        AS a (id, next_run_at, entry, last_occurrence_at, last_run_id, runs, place)
    ), entered AS (
      INSERT INTO agenda (next_run_at, id, schedule_ids)
      SELECT next_run_at, entry, array_agg(id) FROM advance WHERE entry IS NOT NULL GROUP BY next_run_at, entry
    ), advanced AS (
      UPDATE schedules s
      SET next_run_at = a.next_run_at, not_due = a.next_run_at IS NULL, entered_by = pg_current_xact_id(),
        last_occurrence_at = greatest(s.last_occurrence_at, a.last_occurrence_at),
        last_run_id = coalesce(a.last_run_id, s.last_run_id),
        last_run_at = CASE WHEN a.last_run_id IS NULL THEN s.last_run_at ELSE $8 END,
        run_count = s.run_count + a.runs
      FROM advance a WHERE s.ctid = a.place AND s.id = a.id
    )
    SELECT id FROM inserted`,
};

/** Writes what was decided for a batch of locked schedules; answers the ids of the runs that did not exist yet. */
export async function fireOccurrences(
  tx: Tx,
  lease: NewLease,
  now: Instant,
  runs: readonly NewOccurrenceRun[],
  advances: readonly Advance[],
): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }>(FIRE, [
    runs.map((run) => run.id),
    runs.map((run) => run.schedule_id),
    runs.map((run) => toPostgres(run.scheduled_for)),
    runs.map((run) => run.status),
    runs.map((run) => run.status_reason),
    runs.map((run) => run.delay_ms),
    runs.map((run) => (run.result === null ? null : JSON.stringify(run.result))),
    toPostgres(now),
    lease.id,
    lease.instance,
    advances.map((advance) => advance.id),
    advances.map((advance) => toPostgresOrNull(advance.next_run_at)),
    advances.map((advance) => advance.entry),
    advances.map((advance) => toPostgres(advance.last_occurrence_at)),
    advances.map((advance) => advance.last_run_id),
    advances.map((advance) => advance.runs),
    runs.map((run) => run.place),
    advances.map((advance) => advance.place),
  ]);
  return new Set(rows.map((row) => row.id));
}

const SET_ASIDE: Statement = {
  name: "set_schedule_aside",
  text: "UPDATE schedules SET problem = $2, next_run_at = NULL WHERE id = $1",
};

/** Takes a schedule that cannot be fired out of everybody's way until somebody edits it. */
export async function setScheduleAside(tx: Tx, id: string, problem: string): Promise<void> {
  await tx.query(SET_ASIDE, [id, problem]);
}
