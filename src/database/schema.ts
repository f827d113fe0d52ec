import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  real,
  smallint,
  text,
  unique,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import { fromPostgres, type Instant, toPostgres } from "../schedule/instant.ts";

/*
 * The tables are an interface: administrators edit them with SQL. Keys equal column names on purpose, so that a row,
 * its JSON and its SQL read alike. Comments on tables and columns, functions, triggers and views are in the
 * hand-written migrations beside the generated ones.
 */

/** JavaScript keeps milliseconds, so the database does too: an instant read and written back is the same instant. */
const instant = customType<{ data: Instant; driverData: string }>({
  dataType: () => "timestamp (3) with time zone",
  fromDriver: fromPostgres,
  toDriver: toPostgres,
});

const transactionId = customType<{ data: string }>({ dataType: () => "xid8" });

const now = sql`clock_timestamp()`;
const oneOf = (column: string, values: readonly string[]) =>
  sql.raw(`"${column}" IN (${values.map((value) => `'${value}'`).join(", ")})`);

export const KINDS = ["cron", "interval", "once", "calendar", "event", "manual"] as const;
export const OVERLAPS = ["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"] as const;
export const CATCHUPS = ["latest", "all", "skip"] as const;
export const TRIGGER_TYPES = ["scheduled", "manual", "event", "dependency", "backfill"] as const;
export const STATUSES = [
  "waiting",
  "pending",
  "dispatched",
  "running",
  "completed",
  "failed",
  "cancelled",
  "skipped",
] as const;
export const STATUS_REASONS = [
  ...["buffered", "blocked", "breaker_open"],
  ...["unroutable", "retry", "jitter"],
  ...["overlap", "missed", "requested", "dependency", "consumer", "overload", "blackout"],
  ...["error", "timeout", "heartbeat_lost", "not_started", "rejected", "partial"],
  ...["unanswered", "superseded", "deleted"],
] as const;

export const schedules = pgTable(
  "schedules",
  {
    id: uuid().primaryKey().default(sql`pocketwatch_uuid_v7()`),
    name: text().notNull().unique("schedules_name_key"),
    description: text(),
    labels: jsonb().notNull().default({}).$type<Record<string, string>>(),
    enabled: boolean().notNull().default(true),
    paused_until: instant(),
    pause_note: text(),

    action: text().notNull(),
    action_version: integer().notNull().default(1),
    payload: jsonb().notNull().default({}).$type<unknown>(),
    targets: text().array(),
    webhook_pattern: text(),
    channel_pattern: text(),

    kind: text({ enum: KINDS }).notNull(),
    cron_expression: text(),
    interval_seconds: integer(),
    interval_anchor: instant(),
    run_at: instant(),
    calendar: jsonb().$type<unknown>(),
    timezone: text().notNull().default("UTC"),
    dst_gap: text({ enum: ["next_valid", "skip"] })
      .notNull()
      .default("next_valid"),
    dst_fold: text({ enum: ["first", "second", "both"] }),
    starts_at: instant(),
    ends_at: instant(),
    jitter_seconds: integer().notNull().default(0),
    max_runs: integer(),

    // NULL in a policy column means: what the action says, else what the service says. Planning resolves it.
    overlap: text({ enum: OVERLAPS }),
    catchup: text({ enum: CATCHUPS }).notNull().default("latest"),
    catchup_window_seconds: integer().notNull().default(86_400),
    max_attempts: integer(),
    retry_backoff_seconds: integer(),
    retry_backoff_multiplier: doublePrecision(),
    retry_backoff_max_seconds: integer(),
    timeout_seconds: integer(),
    heartbeat_seconds: integer(),
    start_deadline_seconds: integer(),
    priority: smallint(),
    pool: text(),
    depends_on: uuid().array().notNull().default([]),
    pause_after_failures: integer(),
    notify_on: text().array().notNull().default(["failed"]),

    next_run_at: instant(),
    last_occurrence_at: instant(),
    last_run_at: instant(),
    last_run_id: uuid(),
    run_count: bigint({ mode: "number" }).notNull().default(0),
    consecutive_failures: integer().notNull().default(0),
    needs_planning: boolean().notNull().default(true),
    plan_from: instant(),
    paused_at: instant(),
    problem: text(),
    resolved: jsonb().$type<unknown>(),
    revision: bigint({ mode: "number" }).notNull().default(1),
    created_at: instant().notNull().default(now),
    updated_at: instant().notNull().default(now),
    // Who changes next_run_at has entered it in `agenda`, and says so by its transaction; for everybody else a trigger does it.
    entered_by: transactionId(),
    // Once it is planned, whether next_run_at is NULL: an index that knew next_run_at itself would cost what `agenda` saves.
    not_due: boolean().notNull().default(true),
  },
  (t) => [
    // Serves plan: empty but for what was just edited.
    index("schedules_to_plan").on(t.id).where(sql`needs_planning`),
    // Partial, because an entry for every advance of every unlabelled schedule would be paid for in fire.
    index("schedules_labels").using("gin", t.labels).where(sql`labels <> '{}'::jsonb`),
    // Whom a completed run may release.
    index("schedules_dependents").using("gin", t.depends_on).where(sql`cardinality(depends_on) > 0`),
    // Whom supervise asks about at every poll. The index above cannot list them: it answers only for given dependencies.
    index("schedules_waiters").on(t.id).where(sql`cardinality(depends_on) > 0 AND kind = 'event' AND enabled`),
    // The lists of what needs somebody's eye. None of these rows is one that fire advances.
    index("schedules_with_problem").on(t.name).where(sql`problem IS NOT NULL`),
    index("schedules_disabled").on(t.name).where(sql`NOT enabled`),
    index("schedules_not_due").on(t.name).where(sql`not_due`),
    // Lists again. Few rows: those that have ever been paused until an instant, or end after so many runs, or are fired by
    // signals.
    index("schedules_paused").on(t.name).where(sql`paused_until IS NOT NULL`),
    index("schedules_limited").on(t.name).where(sql`max_runs IS NOT NULL`),
    index("schedules_signalled").on(t.name).where(sql`webhook_pattern IS NOT NULL OR channel_pattern IS NOT NULL`),
    check("schedules_name_length", sql`length(name) BETWEEN 1 AND 255`),
    check("schedules_kind", oneOf("kind", KINDS)),
    check("schedules_overlap", oneOf("overlap", OVERLAPS)),
    check("schedules_catchup", oneOf("catchup", CATCHUPS)),
    check("schedules_dst_gap", oneOf("dst_gap", ["next_valid", "skip"])),
    check("schedules_dst_fold", oneOf("dst_fold", ["first", "second", "both"])),
    check("schedules_labels_object", sql`jsonb_typeof(labels) = 'object'`),
    check("schedules_catchup_window", sql`catchup_window_seconds >= 0`),
    check("schedules_jitter", sql`jitter_seconds BETWEEN 0 AND 86400`),
    check("schedules_max_runs", sql`max_runs > 0`),
    check("schedules_max_attempts", sql`max_attempts BETWEEN 1 AND 1000`),
    check("schedules_retry_backoff", sql`retry_backoff_seconds >= 0 AND retry_backoff_max_seconds >= 0`),
    check("schedules_retry_multiplier", sql`retry_backoff_multiplier BETWEEN 1 AND 100`),
    check("schedules_timeout", sql`timeout_seconds > 0`),
    check("schedules_heartbeat", sql`heartbeat_seconds >= 0`),
    check("schedules_start_deadline", sql`start_deadline_seconds > 0`),
    check("schedules_priority", sql`priority BETWEEN 1 AND 3`),
    check("schedules_pause_after_failures", sql`pause_after_failures > 0`),
    check(
      "schedules_notify_on",
      sql`notify_on <@ ARRAY['completed', 'failed', 'skipped', 'cancelled', 'retrying']::text[]`,
    ),
  ],
);

/**
 * Which schedules are to be looked at when. An index of `next_run_at` would do the same, but Postgres updates a row in place
 * (HOT) only where no index knows a changed column: with one, each firing put an entry at a random place of every index that
 * `schedules` has. An entry is a hint: a schedule that is due later, or not at all, is passed over.
 */
export const agenda = pgTable(
  "agenda",
  {
    next_run_at: instant().notNull(),
    id: uuid().notNull().default(sql`gen_random_uuid()`),
    schedule_ids: uuid().array().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.next_run_at, t.id] }),
    check("agenda_schedules", sql`cardinality(schedule_ids) > 0`),
  ],
);

export const runs = pgTable(
  "runs",
  {
    id: uuid().primaryKey().default(sql`pocketwatch_uuid_v7()`),
    schedule_id: uuid(),
    schedule_name: text(),
    parent_run_id: uuid(),
    target: text(),
    action: text().notNull(),
    action_version: integer().notNull(),
    payload: jsonb().notNull().default({}).$type<unknown>(),
    trigger_type: text({ enum: TRIGGER_TYPES }).notNull(),
    triggered_by: text(),
    scheduled_for: instant().notNull(),
    priority: smallint().notNull().default(2),
    pool: text().notNull().default("default"),
    policy: jsonb().notNull().default({}).$type<unknown>(),
    exclusive: boolean().notNull().default(false),
    status: text({ enum: STATUSES }).notNull().default("pending"),
    status_reason: text({ enum: STATUS_REASONS }),
    error_code: text(),
    error_message: text(),
    attempt: integer().notNull().default(1),
    available_at: instant().notNull().default(now),
    progress: real(),
    progress_message: text(),
    progress_sequence: bigint({ mode: "number" }),
    metrics: jsonb().$type<Record<string, number>>(),
    result: jsonb().$type<unknown>(),
    worker: text(),
    traceparent: text(),
    created_at: instant().notNull().default(now),
    dispatched_at: instant(),
    started_at: instant(),
    heartbeat_at: instant(),
    deadline_at: instant(),
    cancel_requested_at: instant(),
    cancel_reason: text(),
    cancel_sent_at: instant(),
    completed_at: instant(),
    breaker_key: text(),
    targets: text().array(),
    child_total: integer(),
    child_expanded: integer(),
    child_completed: integer(),
    child_failed: integer(),
    child_cancelled: integer(),
    child_skipped: integer(),
    child_progress: doublePrecision(),
  },
  (t) => [
    // History of one schedule, newest first: ids are time-ordered.
    index("runs_schedule").on(t.schedule_id, t.id),
    // The overlap guard: at most one unfinished exclusive run per schedule, whatever races.
    uniqueIndex("runs_exclusive")
      .on(t.schedule_id)
      .where(sql`exclusive AND parent_run_id IS NULL AND status IN ('pending', 'dispatched', 'running')`),
    // One lane per pool and priority in due order: a claim reads its first rows and nothing else.
    index("runs_lanes")
      .on(t.pool, t.priority, t.available_at, t.id)
      .where(sql`status = 'pending' AND child_total IS NULL AND cancel_requested_at IS NULL`),
    // Counts what is in flight in a capped pool.
    index("runs_in_flight").on(t.pool).where(sql`status IN ('dispatched', 'running') AND child_total IS NULL`),
    // The waiting runs of one schedule by reason, oldest first. Children never wait for their schedule.
    index("runs_waiting")
      .on(t.schedule_id, t.status_reason, t.id)
      .where(sql`status = 'waiting' AND parent_run_id IS NULL`),
    index("runs_breaker_held")
      .on(t.breaker_key, t.id)
      .where(sql`status = 'waiting' AND status_reason = 'breaker_open'`),
    // When a dependency last completed, where that was long after the instant its id begins with. Of all others there is no
    // entry, because it would be one more page for every run, somewhere in an index of the whole history: see waiting-runs.ts.
    index("runs_completed_late")
      .on(t.schedule_id, t.completed_at)
      .where(
        sql`status = 'completed' AND parent_run_id IS NULL AND completed_at - pocketwatch_id_instant(id) > interval '10 minutes'`,
      ),
    // Serves supervise: the next instant at which a run needs to be looked at.
    index("runs_deadline").on(t.deadline_at).where(sql`deadline_at IS NOT NULL`),
    index("runs_children").on(t.parent_run_id, t.id).where(sql`parent_run_id IS NOT NULL`),
    index("runs_to_expand").on(t.id).where(sql`status IN ('pending', 'running') AND child_expanded < child_total`),
    index("runs_to_cancel")
      .on(t.id)
      .where(sql`cancel_requested_at IS NOT NULL AND cancel_sent_at IS NULL AND completed_at IS NULL`),
    // Lists by status, newest first: what did not complete, and of what has not ended, that which no index above holds. A run
    // that is handed out and completes never has an entry here.
    index("runs_set_aside")
      .on(t.status, t.id)
      .where(
        sql`status IN ('failed', 'cancelled', 'skipped') OR (status IN ('pending', 'dispatched', 'running') AND (child_total IS NOT NULL OR cancel_requested_at IS NOT NULL))`,
      ),
    check("runs_status", oneOf("status", STATUSES)),
    check("runs_status_reason", oneOf("status_reason", STATUS_REASONS)),
    check("runs_trigger_type", oneOf("trigger_type", TRIGGER_TYPES)),
    check("runs_priority", sql`priority BETWEEN 1 AND 3`),
    check("runs_attempt", sql`attempt >= 1`),
  ],
);

export const run_attempts = pgTable(
  "run_attempts",
  {
    run_id: uuid().notNull(),
    attempt: integer().notNull(),
    status: text({ enum: STATUSES }).notNull(),
    status_reason: text({ enum: STATUS_REASONS }),
    error_code: text(),
    error_message: text(),
    worker: text(),
    progress: real(),
    metrics: jsonb().$type<Record<string, number>>(),
    result: jsonb().$type<unknown>(),
    available_at: instant(),
    dispatched_at: instant(),
    started_at: instant(),
    completed_at: instant().notNull().default(now),
  },
  (t) => [primaryKey({ columns: [t.run_id, t.attempt] })],
);

// Empty while nobody follows: see the trigger that fills it.
export const run_changes = pgTable(
  "run_changes",
  {
    transaction: transactionId().notNull().default(sql`pg_current_xact_id()`),
    id: bigint({ mode: "number" }).notNull().generatedAlwaysAsIdentity(),
    run_ids: uuid().array().notNull(),
    changed_at: instant().notNull().default(now),
  },
  // What a snapshot has not seen yet begins at its oldest open transaction.
  (t) => [primaryKey({ columns: [t.transaction, t.id] })],
);

export const run_followers = pgTable("run_followers", {
  instance: text().primaryKey(),
  follows_until: instant().notNull(),
});

export const leases = pgTable(
  "leases",
  {
    id: uuid().primaryKey().default(sql`gen_random_uuid()`),
    instance: text().notNull(),
    run_ids: uuid().array().notNull(),
    lease_until: instant().notNull(),
  },
  (t) => [index("leases_until").on(t.lease_until)],
);

export const pools = pgTable(
  "pools",
  {
    name: text().primaryKey(),
    max_in_flight: integer(),
    drained: boolean().notNull().default(false),
    created_at: instant().notNull().default(now),
    updated_at: instant().notNull().default(now),
  },
  () => [
    check("pools_name_length", sql`length(name) BETWEEN 1 AND 255`),
    check("pools_max_in_flight", sql`max_in_flight >= 0`),
  ],
);

export const breakers = pgTable(
  "breakers",
  {
    key: text().primaryKey(),
    action: text().notNull(),
    state: text({ enum: ["closed", "open", "half_open"] })
      .notNull()
      .default("closed"),
    failures: integer().notNull().default(0),
    threshold: integer().notNull(),
    cooldown_seconds: integer().notNull(),
    trips: integer().notNull().default(0),
    opened_at: instant(),
    probe_run_id: uuid(),
    updated_at: instant().notNull().default(now),
  },
  (t) => [
    // Serves supervise: of all the hosts there are, those that fail right now.
    index("breakers_not_closed").on(t.key).where(sql`state <> 'closed'`),
    check("breakers_state", oneOf("state", ["closed", "open", "half_open"])),
  ],
);

export const outbox = pgTable(
  "outbox",
  {
    id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    exchange: text().notNull(),
    routing_key: text().notNull(),
    message_id: uuid().notNull().default(sql`gen_random_uuid()`),
    subject: text(),
    data: jsonb().notNull().$type<unknown>(),
    traceparent: text(),
    created_at: instant().notNull().default(now),
    lease_until: instant(),
  },
  (t) => [index("outbox_to_relay").on(t.lease_until.asc().nullsFirst(), t.id)],
);

export const requests = pgTable(
  "requests",
  {
    id: uuid().primaryKey().default(sql`pocketwatch_uuid_v7()`),
    source: text().notNull(),
    key: text().notNull().default(sql`gen_random_uuid()::text`),
    schedule_name: text(),
    payload: jsonb().$type<unknown>(),
    requested_by: text().notNull().default(sql`session_user`),
    status: text({ enum: ["pending", "done", "refused"] })
      .notNull()
      .default("pending"),
    run_id: uuid(),
    problem: text(),
    created_at: instant().notNull().default(now),
    answered_at: instant(),
  },
  (t) => [
    unique("requests_source_key").on(t.source, t.key),
    index("requests_pending").on(t.id).where(sql`status = 'pending'`),
    index("requests_created").on(t.created_at),
    check("requests_status", oneOf("status", ["pending", "done", "refused"])),
  ],
);

export const settings = pgTable("settings", {
  key: text().primaryKey(),
  value: jsonb().notNull().$type<unknown>(),
  updated_at: instant().notNull().default(now),
});

export const instances = pgTable("instances", {
  id: text().primaryKey(),
  version: text().notNull(),
  started_at: instant().notNull().default(now),
  last_seen_at: instant().notNull().default(now),
  broker: text().notNull().default("connecting"),
  heard_until: instant(),
  consuming_at: instant(),
  passes: jsonb().notNull().default({}).$type<unknown>(),
});

export const audit = pgTable(
  "audit",
  {
    id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    at: instant().notNull().default(now),
    who: text().notNull(),
    operation: text().notNull(),
    table_name: text().notNull(),
    subject: text().notNull(),
    changes: jsonb().notNull().$type<unknown>(),
  },
  (t) => [index("audit_subject").on(t.table_name, t.subject, t.id)],
);

export type ScheduleRow = typeof schedules.$inferSelect;
export type NewSchedule = typeof schedules.$inferInsert;
export type RunRow = typeof runs.$inferSelect;
export type Status = (typeof STATUSES)[number];
export type StatusReason = (typeof STATUS_REASONS)[number];
export type TriggerType = (typeof TRIGGER_TYPES)[number];
