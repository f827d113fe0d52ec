-- What an operator does at psql. The functions run with their owner's rights (SECURITY DEFINER) and may be called by
-- nobody until somebody says so: GRANT EXECUTE ON FUNCTION pocketwatch_trigger TO ops lets ops run schedules, and nothing
-- else; with rights on the tables instead, ops could rewrite payloads. Who called is session_user, which stays what it is.
CREATE FUNCTION pocketwatch_schedule_named(name text) RETURNS schedules LANGUAGE plpgsql STABLE AS $$
DECLARE
  found schedules;
  similar_name text;
BEGIN
  IF pocketwatch_schedule_named.name IS NULL THEN
    RAISE EXCEPTION 'the name of the schedule is NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  SELECT s.* INTO found FROM schedules s WHERE s.name = pocketwatch_schedule_named.name;
  IF found.id IS NULL THEN
    SELECT s.name INTO similar_name FROM schedules s
    WHERE lower(s.name) = lower(trim(pocketwatch_schedule_named.name)) ORDER BY s.name LIMIT 1;
    RAISE EXCEPTION 'there is no schedule "%"', pocketwatch_schedule_named.name USING
      ERRCODE = 'no_data_found',
      HINT = coalesce('Names are compared letter by letter. Did you mean "' || similar_name || '"?',
        'SELECT name FROM schedule_overview ORDER BY name lists them.');
  END IF;
  RETURN found;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_schedule_named(text) IS
  'The schedule of this name. SQLSTATE P0002 with a hint where there is none.';
--> statement-breakpoint
-- The service is the only one that knows the contracts, so it validates and executes; this only asks.
CREATE FUNCTION pocketwatch_trigger(name text, payload jsonb DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  schedule constant schedules := pocketwatch_schedule_named(pocketwatch_trigger.name);
  request_id uuid;
BEGIN
  INSERT INTO requests (source, schedule_name, payload) VALUES ('sql', schedule.name, pocketwatch_trigger.payload)
  RETURNING id INTO request_id;
  RETURN request_id;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_trigger(text, jsonb) IS
  'Asks for a run of a schedule now, with its own payload or another one. Answers the id of the request: SELECT * FROM '
  'requests WHERE id = ... says within a second which run it became, or why it was refused. Works on a paused or disabled '
  'schedule, obeys overlap, and does not move next_run_at.';
--> statement-breakpoint
CREATE FUNCTION pocketwatch_pause(name text, until timestamptz DEFAULT NULL, note text DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  schedule constant schedules := pocketwatch_schedule_named(pocketwatch_pause.name);
  paused timestamptz;
BEGIN
  IF pocketwatch_pause.until <= pocketwatch_now() THEN
    RAISE EXCEPTION 'until (%) lies in the past', pocketwatch_pause.until USING
      ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out to pause until pocketwatch_resume(name).';
  END IF;
  UPDATE schedules SET paused_until = coalesce(pocketwatch_pause.until, 'infinity'), pause_note = pocketwatch_pause.note
  WHERE id = schedule.id RETURNING paused_until INTO paused;
  INSERT INTO outbox (exchange, routing_key, subject, data)
  VALUES ('events', 'schedule.paused.v1', 'schedules/' || schedule.id, jsonb_build_object(
    'schedule_id', schedule.id, 'schedule_name', schedule.name, 'reason', 'requested',
    'paused_until',
    CASE WHEN isfinite(paused) THEN to_char(paused AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END,
    'note', left(pocketwatch_pause.note, 10000), 'consecutive_failures', schedule.consecutive_failures));
  PERFORM pg_notify('pocketwatch', 'relay');
  RETURN paused;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_pause(text, timestamptz, text) IS
  'Pauses a schedule, until an instant or until it is resumed, with a note for people. What runs goes on. Answers until when.';
--> statement-breakpoint
CREATE FUNCTION pocketwatch_resume(name text, catch_up boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  schedule constant schedules := pocketwatch_schedule_named(pocketwatch_resume.name);
BEGIN
  -- The failures that may have paused it are forgiven, or the next one would pause it again.
  IF catch_up THEN
    UPDATE schedules SET paused_until = NULL, pause_note = NULL, consecutive_failures = 0, plan_from = paused_at
    WHERE id = schedule.id AND paused_until > pocketwatch_now();
  ELSE
    UPDATE schedules SET paused_until = NULL, pause_note = NULL, consecutive_failures = 0
    WHERE id = schedule.id AND paused_until > pocketwatch_now();
  END IF;
  RETURN FOUND;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_resume(text, boolean) IS
  'Ends a pause. What would have been due meanwhile is left alone, or with catch_up treated as after an outage. Answers '
  'whether it was paused.';
--> statement-breakpoint
-- Setting cancel_requested_at does the same; this looks whether there is such a run, and wakes the service.
CREATE FUNCTION pocketwatch_cancel(run_id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  flagged boolean;
BEGIN
  UPDATE runs SET cancel_requested_at = pocketwatch_now(), cancel_reason = 'requested'
  WHERE id = pocketwatch_cancel.run_id AND completed_at IS NULL AND cancel_requested_at IS NULL;
  flagged := FOUND;
  IF NOT flagged AND NOT EXISTS (SELECT FROM runs WHERE id = pocketwatch_cancel.run_id) THEN
    RAISE EXCEPTION 'there is no run %', pocketwatch_cancel.run_id USING
      ERRCODE = 'no_data_found', HINT = 'SELECT * FROM run_history ORDER BY run_id DESC LIMIT 20 shows the latest.';
  END IF;
  PERFORM pg_notify('pocketwatch', 'supervise');
  RETURN flagged;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_cancel(uuid) IS
  'Cancels a run: what no consumer has seen ends at once, a consumer is asked to stop. Answers false where it has ended or '
  'is being cancelled already.';
--> statement-breakpoint
DO $$
DECLARE
  signature text;
BEGIN
  FOREACH signature IN ARRAY ARRAY['pocketwatch_schedule_named(text)', 'pocketwatch_trigger(text, jsonb)',
    'pocketwatch_pause(text, timestamptz, text)', 'pocketwatch_resume(text, boolean)', 'pocketwatch_cancel(uuid)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', signature, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
  END LOOP;
END
$$;
