-- An edit of a schedule by whoever it is (HTTP, psql, another tool) is planned, not polled for: every column a user owns
-- bumps the revision, asks for planning and says from when. Columns the service keeps (next_run_at, run_count, ...) are
-- not in the triggers' lists, so the passes' own updates never run these functions.
--
-- next_run_at is a claim: "this is due next". What an edit does to it:
--
-- - An edit that does not touch when the schedule is due (payload, labels, retries, ...) leaves the claim and plan_from
--   alone: an outage that is going on goes on, and is caught up with as if nothing had happened.
-- - An edit that changes the timing, or disables, pauses, resumes or mends the schedule, ends what was planned. A claim
--   that had come due before the edit stays, to be dealt with; one that had not is void, and planning starts from the
--   edit. So that planning can say how many occurrences had come due by then, the timing they belong to is kept in
--   resolved.superseded until it has.
CREATE FUNCTION pocketwatch_schedule_edited() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  -- Rounded down: an occurrence in the millisecond of the edit is not over.
  edited_at constant timestamptz(3) := date_trunc('milliseconds', coalesce(
    nullif(current_setting('pocketwatch.now', true), '')::timestamptz, clock_timestamp()));
  backdated constant boolean := TG_OP = 'UPDATE' AND NEW.needs_planning IS NULL;
  was_paused boolean;
  is_paused boolean;
  retimed boolean;
  revived boolean;
  over_at timestamptz(3) := edited_at;
BEGIN
  NEW.needs_planning := true;
  NEW.updated_at := edited_at;
  IF TG_OP = 'INSERT' THEN
    NEW.next_run_at := NULL;
    NEW.plan_from := coalesce(NEW.plan_from, edited_at);
    NEW.paused_at := CASE WHEN NEW.paused_until IS NOT NULL THEN coalesce(NEW.paused_at, edited_at) END;
    RETURN NEW;
  END IF;

  NEW.revision := OLD.revision + 1;
  was_paused := coalesce(OLD.paused_until > edited_at, false);
  is_paused := coalesce(NEW.paused_until > edited_at, false);
  NEW.paused_at := CASE
    WHEN NEW.paused_until IS NULL THEN NULL
    WHEN is_paused AND NOT was_paused THEN edited_at
    ELSE OLD.paused_at
  END;

  retimed := backdated
    OR (NEW.kind, NEW.cron_expression, NEW.interval_seconds, NEW.interval_anchor, NEW.run_at, NEW.calendar, NEW.timezone,
        NEW.dst_gap, NEW.dst_fold, NEW.starts_at, NEW.ends_at)
      IS DISTINCT FROM
       (OLD.kind, OLD.cron_expression, OLD.interval_seconds, OLD.interval_anchor, OLD.run_at, OLD.calendar, OLD.timezone,
        OLD.dst_gap, OLD.dst_fold, OLD.starts_at, OLD.ends_at)
    -- The name seeds every H of a cron expression.
    OR (NEW.name <> OLD.name AND NEW.kind = 'cron' AND coalesce(NEW.cron_expression, '') ~* 'h');
  -- Until now nothing was due, so nothing of that time is to be caught up with.
  revived := (NEW.enabled AND NOT OLD.enabled) OR (was_paused AND NOT is_paused) OR OLD.problem IS NOT NULL
    OR coalesce(OLD.run_count >= OLD.max_runs, false) OR (OLD.next_run_at IS NULL AND NOT OLD.needs_planning);

  IF backdated THEN
    NEW.plan_from := coalesce(NEW.plan_from, edited_at);
    over_at := least(edited_at, NEW.plan_from);
  ELSIF retimed OR revived THEN
    -- Never back: a session whose clock is behind must not bring back what is over. Nor is a plan_from in the future kept,
    -- which nobody could mend by an edit.
    NEW.plan_from := greatest(edited_at, least(OLD.plan_from, clock_timestamp()));
  END IF;
  -- Pausing until T is planning from T, also when nobody planned it before the column was written again.
  IF NOT backdated AND OLD.paused_until <= edited_at AND NEW.paused_until IS DISTINCT FROM OLD.paused_until THEN
    NEW.plan_from := greatest(NEW.plan_from, OLD.paused_until - interval '1 millisecond');
  END IF;
  IF retimed OR revived OR (OLD.enabled AND NOT NEW.enabled)
    OR (is_paused AND NEW.paused_until IS DISTINCT FROM OLD.paused_until)
  THEN
    NEW.next_run_at := CASE WHEN OLD.next_run_at <= over_at THEN OLD.next_run_at END;
    -- Of several edits before the next planning, the first one ended what was planned.
    IF NEW.next_run_at IS NOT NULL AND NOT coalesce(OLD.resolved ? 'superseded', false) THEN
      NEW.resolved := coalesce(OLD.resolved, '{}') || jsonb_build_object('superseded', jsonb_build_object(
        'from', OLD.plan_from, 'until', edited_at, 'name', OLD.name, 'kind', OLD.kind, 'cron_expression', OLD.cron_expression,
        'interval_seconds', OLD.interval_seconds, 'interval_anchor', OLD.interval_anchor, 'run_at', OLD.run_at,
        'calendar', OLD.calendar, 'timezone', OLD.timezone, 'dst_gap', OLD.dst_gap, 'dst_fold', OLD.dst_fold,
        'starts_at', OLD.starts_at, 'ends_at', OLD.ends_at, 'created_at', OLD.created_at));
    END IF;
  END IF;
  RETURN NEW;
END
$$;
--> statement-breakpoint
CREATE TRIGGER schedules_edited
  BEFORE INSERT OR UPDATE OF name, description, labels, enabled, paused_until, pause_note, action, action_version, payload,
    targets, webhook_pattern, channel_pattern, kind, cron_expression, interval_seconds, interval_anchor, run_at, calendar,
    timezone, dst_gap, dst_fold, starts_at, ends_at, jitter_seconds, max_runs, overlap, catchup, catchup_window_seconds,
    max_attempts, retry_backoff_seconds, retry_backoff_multiplier, retry_backoff_max_seconds, timeout_seconds,
    heartbeat_seconds, start_deadline_seconds, priority, pool, depends_on, pause_after_failures, notify_on, plan_from
  ON schedules FOR EACH ROW EXECUTE FUNCTION pocketwatch_schedule_edited();
--> statement-breakpoint
-- A statement that writes plan_from means it: "plan from there", which is how resuming catches up with the pause
-- (plan_from = paused_at). The trigger above cannot see that by comparing, because plan_from often equals paused_at
-- already; so this one, which runs before it (triggers go by name), tells it by an impossible needs_planning.
CREATE FUNCTION pocketwatch_schedule_backdated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.plan_from IS DISTINCT FROM OLD.plan_from OR NEW.plan_from = OLD.paused_at THEN
    NEW.needs_planning := NULL;
  END IF;
  RETURN NEW;
END
$$;
--> statement-breakpoint
CREATE TRIGGER schedules_backdated
  BEFORE UPDATE OF plan_from ON schedules FOR EACH ROW EXECUTE FUNCTION pocketwatch_schedule_backdated();
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
    timeout_seconds, heartbeat_seconds, start_deadline_seconds, priority, pool, depends_on, pause_after_failures, notify_on,
    plan_from
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
-- Only requests that still need an answer (those made by SQL) wake the service; HTTP and AMQP write theirs answered.
CREATE TRIGGER requests_wake
  AFTER INSERT ON requests FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION pocketwatch_wake('answer_requests');
--> statement-breakpoint
-- What a deleted schedule had not started is cancelled; what is in flight goes on, history stays. Cancelling is a flag:
-- supervise acts on it, children and parents included. Schedules that waited for it are planned anew, which gives them a
-- problem: otherwise they would wait for ever and nobody would know why.
CREATE FUNCTION pocketwatch_schedule_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  UPDATE schedules SET needs_planning = true
  WHERE id IN (
    SELECT id FROM schedules
    WHERE cardinality(depends_on) > 0 AND depends_on @> ARRAY[OLD.id]
    ORDER BY id FOR NO KEY UPDATE);
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
-- A pool that appears mends the schedules that named it; one that vanishes breaks those that use it.
CREATE FUNCTION pocketwatch_pool_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  UPDATE schedules SET needs_planning = true
  WHERE id IN (
    SELECT id FROM schedules
    WHERE CASE WHEN TG_OP = 'INSERT' THEN problem LIKE '%there is no pool%' ELSE resolved->>'pool' = OLD.name END
    ORDER BY id FOR NO KEY UPDATE);
  IF FOUND THEN
    PERFORM pg_notify('pocketwatch', 'plan');
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
CREATE TRIGGER pools_changed AFTER INSERT OR DELETE ON pools FOR EACH ROW EXECUTE FUNCTION pocketwatch_pool_changed();
--> statement-breakpoint
-- Functions that name tables find them whatever the caller's search_path is, and find nothing of the caller's instead: they
-- run with their owner's rights, so that an editor needs none on other tables.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['pocketwatch_schedule_deleted', 'pocketwatch_pool_changed'] LOOP
    EXECUTE format('ALTER FUNCTION %I() SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
  END LOOP;
END
$$;
--> statement-breakpoint
INSERT INTO pools (name) VALUES ('default');
