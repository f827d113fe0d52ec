-- An edit of a schedule by whoever it is (HTTP, psql, another tool) is planned, not polled for: every column a user owns
-- bumps the revision, asks for planning and says from when. Columns the service keeps (next_run_at, run_count, ...) are
-- not in the triggers' lists, so the passes' own updates never run this function.
CREATE FUNCTION pocketwatch_schedule_edited() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  edited_at constant timestamptz(3) := coalesce(
    nullif(current_setting('pocketwatch.now', true), '')::timestamptz, clock_timestamp());
BEGIN
  IF TG_OP = 'UPDATE' THEN
    NEW.revision := OLD.revision + 1;
    -- A caller that writes plan_from itself means it: resuming with catch-up plans from the moment of the pause.
    IF NEW.plan_from IS NOT DISTINCT FROM OLD.plan_from THEN
      NEW.plan_from := edited_at;
    END IF;
    IF NEW.paused_until IS NULL THEN
      NEW.paused_at := NULL;
    ELSIF OLD.paused_until IS NULL THEN
      NEW.paused_at := edited_at;
    END IF;
  ELSE
    NEW.plan_from := coalesce(NEW.plan_from, edited_at);
    IF NEW.paused_until IS NOT NULL THEN
      NEW.paused_at := edited_at;
    END IF;
  END IF;
  NEW.needs_planning := true;
  NEW.updated_at := edited_at;
  RETURN NEW;
END
$$;
--> statement-breakpoint
CREATE TRIGGER schedules_edited
  BEFORE INSERT OR UPDATE OF name, description, labels, enabled, paused_until, pause_note, action, action_version, payload,
    targets, webhook_pattern, channel_pattern, kind, cron_expression, interval_seconds, interval_anchor, run_at, calendar,
    timezone, dst_gap, dst_fold, starts_at, ends_at, jitter_seconds, max_runs, overlap, catchup, catchup_window_seconds,
    max_attempts, retry_backoff_seconds, retry_backoff_multiplier, retry_backoff_max_seconds, timeout_seconds,
    heartbeat_seconds, start_deadline_seconds, priority, pool, depends_on, pause_after_failures, notify_on
  ON schedules FOR EACH ROW EXECUTE FUNCTION pocketwatch_schedule_edited();
--> statement-breakpoint
-- The payload is constant: Postgres folds equal notifications of one transaction into one, so that an edit of 100,000
-- rows is one wake-up. Fire, dispatch and ingest never notify: NOTIFY takes a lock that serialises committing sessions.
CREATE FUNCTION pocketwatch_wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('pocketwatch', TG_ARGV[0]);
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER schedules_wake
  AFTER INSERT OR DELETE OR UPDATE OF name, description, labels, enabled, paused_until, pause_note, action, action_version,
    payload, targets, webhook_pattern, channel_pattern, kind, cron_expression, interval_seconds, interval_anchor, run_at,
    calendar, timezone, dst_gap, dst_fold, starts_at, ends_at, jitter_seconds, max_runs, overlap, catchup,
    catchup_window_seconds, max_attempts, retry_backoff_seconds, retry_backoff_multiplier, retry_backoff_max_seconds,
    timeout_seconds, heartbeat_seconds, start_deadline_seconds, priority, pool, depends_on, pause_after_failures, notify_on
  ON schedules FOR EACH STATEMENT EXECUTE FUNCTION pocketwatch_wake('plan');
--> statement-breakpoint
CREATE TRIGGER pools_wake
  AFTER INSERT OR DELETE OR UPDATE OF max_in_flight, drained ON pools
  FOR EACH STATEMENT EXECUTE FUNCTION pocketwatch_wake('dispatch');
--> statement-breakpoint
CREATE TRIGGER settings_wake
  AFTER INSERT OR UPDATE ON settings
  FOR EACH ROW WHEN (NEW.key = 'drained') EXECUTE FUNCTION pocketwatch_wake('dispatch');
--> statement-breakpoint
CREATE FUNCTION pocketwatch_request_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('pocketwatch', 'answer_requests');
  RETURN NULL;
END
$$;
--> statement-breakpoint
-- Only requests that still need an answer (those made by SQL) wake the service; HTTP and AMQP write theirs answered.
CREATE TRIGGER requests_wake
  AFTER INSERT ON requests FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION pocketwatch_request_made();
--> statement-breakpoint
-- What a deleted schedule had not started is cancelled; what is in flight goes on, history stays. Cancelling is a flag:
-- supervise acts on it, children and parents included.
CREATE FUNCTION pocketwatch_schedule_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE runs
  SET cancel_requested_at = pocketwatch_now(), cancel_reason = 'deleted'
  WHERE id IN (
    SELECT id FROM runs
    WHERE schedule_id = OLD.id AND status IN ('waiting', 'pending') AND cancel_requested_at IS NULL
    ORDER BY id FOR UPDATE);
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER schedules_deleted AFTER DELETE ON schedules FOR EACH ROW EXECUTE FUNCTION pocketwatch_schedule_deleted();
--> statement-breakpoint
INSERT INTO pools (name) VALUES ('default');
