-- Which schedules are to be looked at when, beside them and no longer as an index of next_run_at. Postgres updates a row in
-- place (HOT) only where no index, not even in its condition, knows a column that changes: with such an index, each firing
-- put an entry at a random place of all the others as well, by id and by name.
CREATE TABLE "agenda" (
	"next_run_at" timestamp (3) with time zone NOT NULL,
	"id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"schedule_ids" uuid[] NOT NULL,
	CONSTRAINT "agenda_next_run_at_id_pk" PRIMARY KEY("next_run_at","id"),
	CONSTRAINT "agenda_schedules" CHECK (cardinality(schedule_ids) > 0)
);
--> statement-breakpoint
-- What has passed lies before what is due next: few of them are to be walked over.
-- Its file does not shrink: that would take a lock which fire waits for.
ALTER TABLE "agenda" SET (autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
--> statement-breakpoint
COMMENT ON TABLE agenda IS
  'Kept by the service: which schedules are to be looked at when. A hint: what is due is what schedules.next_run_at says.';
--> statement-breakpoint
COMMENT ON COLUMN agenda.next_run_at IS 'When to look at them: the next_run_at of each, or a little later.';
--> statement-breakpoint
COMMENT ON COLUMN agenda.id IS 'One of the entries of that instant.';
--> statement-breakpoint
COMMENT ON COLUMN agenda.schedule_ids IS 'Their ids, of which some may be due at another time meanwhile, or not at all.';
--> statement-breakpoint
DROP INDEX "schedules_due";
--> statement-breakpoint
DROP INDEX "schedules_not_due";
--> statement-breakpoint
-- Room for a version of two rows of a page; the next one finds the room of those before it. What is there is not written anew.
ALTER TABLE "schedules" SET (fillfactor = 80);
--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "entered_by" xid8;
--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "not_due" boolean DEFAULT false NOT NULL;
--> statement-breakpoint
UPDATE schedules SET not_due = true WHERE next_run_at IS NULL;
--> statement-breakpoint
ALTER TABLE "schedules" ALTER COLUMN "not_due" SET DEFAULT true;
--> statement-breakpoint
CREATE INDEX "schedules_not_due" ON "schedules" USING btree ("name") WHERE not_due;
--> statement-breakpoint
COMMENT ON COLUMN schedules.entered_by IS
  'Kept by the service: the transaction of the service that changed next_run_at last, and entered it in agenda.';
--> statement-breakpoint
COMMENT ON COLUMN schedules.not_due IS 'Kept by the service: once it is planned, whether next_run_at is NULL.';
--> statement-breakpoint
INSERT INTO agenda (next_run_at, schedule_ids)
SELECT next_run_at, array_agg(id)
FROM (SELECT id, next_run_at, (row_number() OVER (PARTITION BY next_run_at ORDER BY id) - 1) / 100 AS entry
      FROM schedules WHERE next_run_at IS NOT NULL) AS s
GROUP BY next_run_at, entry;
--> statement-breakpoint
-- Whoever writes next_run_at without saying that it has entered it (an administrator, a version of the service from before this
-- table, a command that moves one schedule) need not know about the agenda. A transaction says so by its id, once for a row: a
-- tool that writes a whole row back, as it was read, says nothing. Fire takes a schedule that is to be planned off the agenda when
-- it is due, so one that somebody else has planned is entered again, though it is due when it was.
CREATE FUNCTION pocketwatch_enter_in_agenda() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF NEW.next_run_at IS NOT NULL THEN
    INSERT INTO agenda (next_run_at, schedule_ids) VALUES (NEW.next_run_at, ARRAY[NEW.id]);
  END IF;
  NEW.not_due := NEW.next_run_at IS NULL;
  RETURN NEW;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_enter_in_agenda() IS 'Trigger of schedules: enters a next_run_at that the agenda does not know.';
--> statement-breakpoint
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION pocketwatch_enter_in_agenda() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;
--> statement-breakpoint
CREATE TRIGGER schedules_on_agenda
  BEFORE UPDATE OF next_run_at, needs_planning ON schedules
  FOR EACH ROW WHEN (
    (NEW.next_run_at IS DISTINCT FROM OLD.next_run_at OR (OLD.needs_planning AND NOT NEW.needs_planning))
    AND (NEW.entered_by IS NOT DISTINCT FROM OLD.entered_by OR NEW.entered_by IS DISTINCT FROM pg_current_xact_id()))
  EXECUTE FUNCTION pocketwatch_enter_in_agenda();
--> statement-breakpoint
COMMENT ON TRIGGER schedules_on_agenda ON schedules IS 'A next_run_at that is written by hand is entered in the agenda.';
--> statement-breakpoint
-- As in 0006, but that the new columns are the service's, too.
CREATE OR REPLACE FUNCTION pocketwatch_audit_schedule() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  kept constant text[] := '{id, next_run_at, last_occurrence_at, last_run_at, last_run_id, run_count, consecutive_failures,
    needs_planning, plan_from, paused_at, problem, resolved, revision, created_at, updated_at, entered_by, not_due}';
  -- What is within these may be null, and is to be recorded as it is.
  documents constant text[] := '{payload, labels, calendar}';
  whole schedules;
  changes jsonb := '{}';
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    whole := CASE TG_OP WHEN 'INSERT' THEN NEW ELSE OLD END;
    changes := jsonb_strip_nulls(to_jsonb(whole) - kept - documents)
      || jsonb_build_object('payload', whole.payload, 'labels', whole.labels);
    IF whole.calendar IS NOT NULL THEN changes := changes || jsonb_build_object('calendar', whole.calendar); END IF;
    INSERT INTO audit (who, operation, table_name, subject, changes)
    VALUES (pocketwatch_editor(), lower(TG_OP), 'schedules', whole.name, pocketwatch_bounded_row(changes));
    RETURN NULL;
  END IF;
  changes := pocketwatch_change('name', OLD.name, NEW.name)
    || pocketwatch_change('description', OLD.description, NEW.description)
    || pocketwatch_change('labels', OLD.labels, NEW.labels)
    || pocketwatch_change('enabled', OLD.enabled, NEW.enabled)
    || pocketwatch_change('paused_until', OLD.paused_until, NEW.paused_until)
    || pocketwatch_change('pause_note', OLD.pause_note, NEW.pause_note)
    || pocketwatch_change('action', OLD.action, NEW.action)
    || pocketwatch_change('action_version', OLD.action_version, NEW.action_version)
    || pocketwatch_change('payload', OLD.payload, NEW.payload)
    || pocketwatch_change('targets', OLD.targets, NEW.targets)
    || pocketwatch_change('webhook_pattern', OLD.webhook_pattern, NEW.webhook_pattern)
    || pocketwatch_change('channel_pattern', OLD.channel_pattern, NEW.channel_pattern)
    || pocketwatch_change('kind', OLD.kind, NEW.kind)
    || pocketwatch_change('cron_expression', OLD.cron_expression, NEW.cron_expression)
    || pocketwatch_change('interval_seconds', OLD.interval_seconds, NEW.interval_seconds)
    || pocketwatch_change('interval_anchor', OLD.interval_anchor, NEW.interval_anchor)
    || pocketwatch_change('run_at', OLD.run_at, NEW.run_at)
    || pocketwatch_change('calendar', OLD.calendar, NEW.calendar)
    || pocketwatch_change('timezone', OLD.timezone, NEW.timezone)
    || pocketwatch_change('dst_gap', OLD.dst_gap, NEW.dst_gap)
    || pocketwatch_change('dst_fold', OLD.dst_fold, NEW.dst_fold)
    || pocketwatch_change('starts_at', OLD.starts_at, NEW.starts_at)
    || pocketwatch_change('ends_at', OLD.ends_at, NEW.ends_at)
    || pocketwatch_change('jitter_seconds', OLD.jitter_seconds, NEW.jitter_seconds)
    || pocketwatch_change('max_runs', OLD.max_runs, NEW.max_runs)
    || pocketwatch_change('overlap', OLD.overlap, NEW.overlap)
    || pocketwatch_change('catchup', OLD.catchup, NEW.catchup)
    || pocketwatch_change('catchup_window_seconds', OLD.catchup_window_seconds, NEW.catchup_window_seconds)
    || pocketwatch_change('max_attempts', OLD.max_attempts, NEW.max_attempts)
    || pocketwatch_change('retry_backoff_seconds', OLD.retry_backoff_seconds, NEW.retry_backoff_seconds)
    || pocketwatch_change('retry_backoff_multiplier', OLD.retry_backoff_multiplier, NEW.retry_backoff_multiplier)
    || pocketwatch_change('retry_backoff_max_seconds', OLD.retry_backoff_max_seconds, NEW.retry_backoff_max_seconds)
    || pocketwatch_change('timeout_seconds', OLD.timeout_seconds, NEW.timeout_seconds)
    || pocketwatch_change('heartbeat_seconds', OLD.heartbeat_seconds, NEW.heartbeat_seconds)
    || pocketwatch_change('start_deadline_seconds', OLD.start_deadline_seconds, NEW.start_deadline_seconds)
    || pocketwatch_change('priority', OLD.priority, NEW.priority)
    || pocketwatch_change('pool', OLD.pool, NEW.pool)
    || pocketwatch_change('depends_on', OLD.depends_on, NEW.depends_on)
    || pocketwatch_change('pause_after_failures', OLD.pause_after_failures, NEW.pause_after_failures)
    || pocketwatch_change('notify_on', OLD.notify_on, NEW.notify_on);
  IF changes <> '{}' THEN
    INSERT INTO audit (who, operation, table_name, subject, changes)
    VALUES (pocketwatch_editor(), 'update', 'schedules', OLD.name, changes);
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION pocketwatch_audit_schedule() SET search_path = pg_catalog, %I, pg_temp', current_schema());
  ALTER FUNCTION pocketwatch_audit_schedule() SET TimeZone = 'UTC';
END
$$;
--> statement-breakpoint
-- As in 0004, but that schedules to be fired are looked up by the agenda, where one that somebody holds stands up to three seconds
-- ahead.
CREATE OR REPLACE VIEW due_now AS
WITH service AS MATERIALIZED (
  SELECT coalesce(bool_or(last_seen_at > pocketwatch_now() - interval '2 minutes'), false) AS alive,
    coalesce(bool_or(broker = 'ready' AND last_seen_at > pocketwatch_now() - interval '2 minutes'), false) AS broker_ready,
    max(last_seen_at) AS last_seen_at,
    EXISTS (SELECT FROM settings WHERE key = 'drained' AND value = 'true') AS drained
  FROM instances
), pool AS MATERIALIZED (
  SELECT p.name, p.drained, p.max_in_flight,
    CASE WHEN p.max_in_flight IS NOT NULL THEN (
      SELECT count(*) FROM runs i
      WHERE i.pool = p.name AND i.status IN ('dispatched', 'running') AND i.child_total IS NULL) END AS in_flight
  FROM pools p
), item AS (
  SELECT s.name AS schedule, NULL::uuid AS run_id, NULL::text AS target, s.action, s.next_run_at AS due_at,
    s.resolved->>'pool' AS pool, (s.resolved->>'priority')::smallint AS priority,
    CASE WHEN service.alive THEN 'edited at ' || s.updated_at || ', to be planned' END AS why
  FROM schedules s, service
  WHERE s.needs_planning
UNION ALL
  SELECT s.name, NULL, NULL, s.action, s.next_run_at, s.resolved->>'pool', (s.resolved->>'priority')::smallint,
    CASE WHEN service.alive THEN 'to be fired' END
  FROM schedules s, service
  WHERE s.id IN (
      SELECT unnest(a.schedule_ids) FROM agenda a WHERE a.next_run_at <= pocketwatch_now() + interval '3 seconds')
    AND s.next_run_at <= pocketwatch_now() AND s.enabled AND NOT s.needs_planning
UNION ALL
  SELECT r.schedule_name, r.id, r.target, r.action, r.scheduled_for, r.pool, r.priority,
    CASE r.status_reason
      WHEN 'buffered' THEN concat('overlap ', r.policy->>'overlap', ': waits for the end of ', coalesce((
        SELECT 'run ' || o.id FROM runs o
        WHERE o.schedule_id = r.schedule_id AND o.exclusive AND o.parent_run_id IS NULL
          AND o.status IN ('pending', 'dispatched', 'running')), 'an earlier run'))
      WHEN 'blocked' THEN concat('waits until each has completed: ', (
        SELECT string_agg(d.name, ', ' ORDER BY d.name)
        FROM schedules s JOIN schedules d ON d.id = ANY(s.depends_on) WHERE s.id = r.schedule_id))
      ELSE concat('waits: ', r.status_reason)
    END
  FROM runs r
  WHERE r.status = 'waiting' AND r.parent_run_id IS NULL AND r.status_reason <> 'breaker_open'
UNION ALL
  SELECT r.schedule_name, r.id, r.target, r.action, r.scheduled_for, r.pool, r.priority,
    concat('circuit breaker ', r.breaker_key, ' is ', replace(b.state, '_', ' '),
      CASE WHEN b.state = 'open' THEN ' until ' || b.opened_at + make_interval(secs => b.cooldown_seconds) END)
  FROM runs r LEFT JOIN breakers b ON b.key = r.breaker_key
  WHERE r.status = 'waiting' AND r.status_reason = 'breaker_open'
UNION ALL
  SELECT r.schedule_name, r.id, r.target, r.action, r.scheduled_for, r.pool, r.priority,
    CASE
      WHEN r.available_at > pocketwatch_now() THEN concat(
        CASE r.status_reason
          WHEN 'retry' THEN concat('attempt ', r.attempt, ' of ', r.policy->>'max_attempts', ' is in backoff')
          WHEN 'unroutable' THEN concat('the broker did not take it (', r.error_message, '), is in backoff')
          WHEN 'jitter' THEN 'jitter'
          ELSE 'not before its time' END,
        ' until ', r.available_at)
      WHEN NOT service.alive THEN NULL
      WHEN service.drained THEN 'the scheduler is drained'
      WHEN p.name IS NULL THEN concat('there is no pool ', r.pool)
      WHEN p.drained THEN concat('pool ', r.pool, ' is drained')
      WHEN p.in_flight >= p.max_in_flight
        THEN concat('pool ', r.pool, ' is full (', p.in_flight, ' of ', p.max_in_flight, ' in flight)')
      WHEN NOT service.broker_ready THEN 'the broker is away'
      ELSE 'to be handed to the broker'
    END
  FROM service, runs r LEFT JOIN pool p ON p.name = r.pool
  WHERE r.status = 'pending' AND r.child_total IS NULL AND r.cancel_requested_at IS NULL
UNION ALL
  SELECT r.schedule_name, r.id, r.target, r.action, r.scheduled_for, r.pool, r.priority,
    CASE
      WHEN r.available_at > pocketwatch_now() THEN concat('not before ', r.available_at)
      WHEN service.alive THEN concat('its targets are being expanded (', r.child_expanded, ' of ', r.child_total, ')')
    END
  FROM runs r, service
  WHERE r.status IN ('pending', 'running') AND r.child_expanded < r.child_total
UNION ALL
  SELECT r.schedule_name, r.id, r.target, r.action, r.scheduled_for, r.pool, r.priority,
    CASE WHEN service.alive THEN concat('being handed to the broker by ', l.instance,
      CASE WHEN l.lease_until < pocketwatch_now() THEN ', which has not finished: to be handed over again' END) END
  FROM service, leases l, unnest(l.run_ids) AS leased (id), runs r
  WHERE r.id = leased.id AND r.status = 'dispatched'
)
SELECT schedule, run_id, target, action, due_at, CASE WHEN isfinite(due_at)
    THEN date_trunc('milliseconds', pocketwatch_now() - due_at) END AS overdue, pool, priority,
  coalesce(why, concat('no instance of the service is running (last heard of: ',
    coalesce(service.last_seen_at::text, 'never'), ')')) AS why
FROM item, service;
