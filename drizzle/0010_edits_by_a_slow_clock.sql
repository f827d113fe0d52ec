-- As in 0002, but for one case. A timing edited just after an instant leaves the claim due and plans from the edit. If a
-- session whose clock is behind edited the schedule before it fired, the claim lay ahead by that clock and became void,
-- while plan_from, which never goes back, was past it: the occurrence was lost.
CREATE OR REPLACE FUNCTION pocketwatch_schedule_edited() RETURNS trigger LANGUAGE plpgsql AS $$
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
  ELSE
    -- Never back: what was over before this edit is over, and what had come due by then has, however far behind the
    -- session's clock is. Nor is a plan_from in the future kept, which nobody could mend by an edit.
    over_at := greatest(edited_at, least(OLD.plan_from, clock_timestamp()));
    IF retimed OR revived THEN
      NEW.plan_from := over_at;
    END IF;
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
