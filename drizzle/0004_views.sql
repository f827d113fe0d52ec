-- Views for people at psql. None sorts or counts the whole of a table: filters and LIMIT of the caller reach the indexes.
--
-- A text that a user wrote (timezone, calendar, ...) is printed here and never interpreted: one bad row must not break a
-- view for all the others.
CREATE VIEW schedule_overview AS
SELECT s.name, s.action || ' v' || s.action_version AS action,
  CASE s.kind
    WHEN 'cron' THEN concat('cron ', s.cron_expression, ' (', s.timezone, ')')
    WHEN 'interval' THEN concat('every ', justify_interval(make_interval(secs => s.interval_seconds)))
    WHEN 'once' THEN concat('once at ', s.run_at)
    WHEN 'calendar' THEN concat_ws(' ', translate(s.calendar->>'times', '[]"', ''),
      coalesce('on ' || translate(s.calendar->>'days_of_week', '[]"', ''),
               'on days ' || translate(s.calendar->>'days_of_month', '[]"', ''), 'daily'),
      'from ' || (s.calendar->>'start_day'), 'to ' || (s.calendar->>'end_day'), '(' || s.timezone || ')')
    WHEN 'event' THEN CASE WHEN cardinality(s.depends_on) > 0 THEN 'after what it depends on' ELSE 'on a signal' END
    ELSE 'by hand'
  END || coalesce(', webhook ' || s.webhook_pattern, '') || coalesce(', channel ' || s.channel_pattern, '') AS timing,
  v.state,
  CASE
    WHEN v.state = 'problem' THEN s.problem
    WHEN s.needs_planning THEN 'edited, to be planned'
    WHEN v.state = 'paused' THEN concat_ws(': ',
      CASE WHEN s.paused_until = 'infinity' THEN 'until resumed' ELSE 'until ' || s.paused_until END, s.pause_note)
  END AS note,
  s.next_run_at, s.last_run_at, r.status AS last_run_status, r.status_reason AS last_run_reason,
  CASE WHEN r.attempt > 1
    THEN (SELECT a.dispatched_at FROM run_attempts a WHERE a.run_id = r.id AND a.attempt = 1) ELSE r.dispatched_at
  END - r.scheduled_for AS last_run_lateness,
  s.run_count, s.consecutive_failures, s.labels, s.id
FROM schedules s
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN s.problem IS NOT NULL THEN 'problem'
    WHEN NOT s.enabled THEN 'disabled'
    WHEN s.paused_until > pocketwatch_now() THEN 'paused'
    WHEN s.run_count >= s.max_runs
      OR (s.kind NOT IN ('event', 'manual') AND s.next_run_at IS NULL AND NOT s.needs_planning) THEN 'finished'
    ELSE 'active'
  END AS state) AS v
LEFT JOIN runs r ON r.id = s.last_run_id;
--> statement-breakpoint
COMMENT ON VIEW schedule_overview IS 'Every schedule on one line: what, when, how it is, how its last run went.';
COMMENT ON COLUMN schedule_overview.name IS 'Its name.';
COMMENT ON COLUMN schedule_overview.action IS 'What it runs, with the version.';
COMMENT ON COLUMN schedule_overview.timing IS 'When it is due, in words.';
COMMENT ON COLUMN schedule_overview.state IS 'active | paused | disabled | finished | problem.';
COMMENT ON COLUMN schedule_overview.note IS 'The problem; until when it is paused and why; or that an edit is about to be planned.';
COMMENT ON COLUMN schedule_overview.next_run_at IS 'When it is due next.';
COMMENT ON COLUMN schedule_overview.last_run_at IS 'When its latest run was made.';
COMMENT ON COLUMN schedule_overview.last_run_status IS 'How that run stands.';
COMMENT ON COLUMN schedule_overview.last_run_reason IS 'Why it stands so; see runs.status_reason.';
COMMENT ON COLUMN schedule_overview.last_run_lateness IS
  'From its nominal instant to its first hand-over to the broker: overlap, pools, jitter and outages add to it.';
COMMENT ON COLUMN schedule_overview.run_count IS 'Runs that it started itself.';
COMMENT ON COLUMN schedule_overview.consecutive_failures IS 'Failed runs since the last completed one.';
COMMENT ON COLUMN schedule_overview.labels IS 'Its labels.';
COMMENT ON COLUMN schedule_overview.id IS 'Its id.';
--> statement-breakpoint
CREATE VIEW run_history AS
SELECT r.id AS run_id, r.schedule_name AS schedule, r.target, r.action || ' v' || r.action_version AS action,
  r.status, r.status_reason AS reason, r.attempt, (r.policy->>'max_attempts')::int AS max_attempts,
  r.scheduled_for,
  CASE WHEN r.attempt > 1
    THEN (SELECT a.dispatched_at FROM run_attempts a WHERE a.run_id = r.id AND a.attempt = 1) ELSE r.dispatched_at
  END - r.scheduled_for AS lateness,
  r.started_at, date_trunc('milliseconds',
    coalesce(r.completed_at, CASE WHEN r.status = 'running' THEN pocketwatch_now() END) - r.started_at) AS duration,
  r.completed_at, r.progress, r.worker, nullif(concat_ws(': ', r.error_code, r.error_message), '') AS error,
  r.metrics, r.result, r.trigger_type, r.triggered_by,
  CASE WHEN r.child_total IS NOT NULL THEN concat_ws(', ', r.child_total || ' in all',
    nullif(r.child_completed, 0) || ' completed', nullif(r.child_failed, 0) || ' failed',
    nullif(r.child_cancelled, 0) || ' cancelled', nullif(r.child_skipped, 0) || ' skipped') END AS children,
  r.payload, r.schedule_id, r.parent_run_id
FROM runs r;
--> statement-breakpoint
COMMENT ON VIEW run_history IS
  'Runs in words. ORDER BY run_id DESC LIMIT ... shows the newest first; for one schedule filter by schedule_id, which has '
  'an index, as schedule has not.';
COMMENT ON COLUMN run_history.run_id IS 'Ordered by time.';
COMMENT ON COLUMN run_history.schedule IS 'The schedule''s name at the time.';
COMMENT ON COLUMN run_history.target IS 'For a child run: which of the targets.';
COMMENT ON COLUMN run_history.action IS 'What was to be done, with the version.';
COMMENT ON COLUMN run_history.status IS 'As in runs.status.';
COMMENT ON COLUMN run_history.reason IS 'Why, as in runs.status_reason.';
COMMENT ON COLUMN run_history.attempt IS 'The attempt that the line is about; earlier ones are in run_attempts.';
COMMENT ON COLUMN run_history.max_attempts IS 'So many attempts it may have.';
COMMENT ON COLUMN run_history.scheduled_for IS 'The nominal instant.';
COMMENT ON COLUMN run_history.lateness IS 'From the nominal instant to the first hand-over to the broker.';
COMMENT ON COLUMN run_history.started_at IS 'When a consumer started the attempt.';
COMMENT ON COLUMN run_history.duration IS 'How long the attempt has run.';
COMMENT ON COLUMN run_history.completed_at IS 'When it ended.';
COMMENT ON COLUMN run_history.progress IS '0 to 100, as the consumer said.';
COMMENT ON COLUMN run_history.worker IS 'Which consumer works on it.';
COMMENT ON COLUMN run_history.error IS 'What went wrong.';
COMMENT ON COLUMN run_history.metrics IS 'What the consumer counted.';
COMMENT ON COLUMN run_history.result IS 'What the consumer gave back; of a missed range {first, last, count}.';
COMMENT ON COLUMN run_history.trigger_type IS 'Why there is a run.';
COMMENT ON COLUMN run_history.triggered_by IS 'Who or what asked for it.';
COMMENT ON COLUMN run_history.children IS 'For a run with targets: how they stand.';
COMMENT ON COLUMN run_history.payload IS 'The work.';
COMMENT ON COLUMN run_history.schedule_id IS 'Its schedule.';
COMMENT ON COLUMN run_history.parent_run_id IS 'For a child run: the run that stands for all targets.';
--> statement-breakpoint
-- Each part reads the partial index that the pass in question reads, so that this costs what there is to show.
CREATE VIEW due_now AS
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
  WHERE s.next_run_at <= pocketwatch_now() AND s.enabled AND NOT s.needs_planning
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
--> statement-breakpoint
COMMENT ON VIEW due_now IS 'What is due, waiting or held, and why it has not gone. A schedule is here until it has been fired, a run until '
  'the broker has it.';
COMMENT ON COLUMN due_now.schedule IS 'The schedule''s name; NULL: an action that was run without one.';
COMMENT ON COLUMN due_now.run_id IS 'The run; NULL: there is none yet.';
COMMENT ON COLUMN due_now.target IS 'For a child run: which of the targets.';
COMMENT ON COLUMN due_now.action IS 'What is to be done.';
COMMENT ON COLUMN due_now.due_at IS 'The nominal instant; NULL: not known before it has been planned.';
COMMENT ON COLUMN due_now.overdue IS 'How long ago that was.';
COMMENT ON COLUMN due_now.pool IS 'The pool that it counts in.';
COMMENT ON COLUMN due_now.priority IS '1 high | 2 normal | 3 low.';
COMMENT ON COLUMN due_now.why IS 'Why it has not gone, in words.';
