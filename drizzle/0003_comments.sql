-- What every table and column is for, its unit and its vocabulary. \d+ <table> in psql shows them.
COMMENT ON TABLE schedules IS
  'When, plus what: one row per schedule. Edit it freely; every edit is validated and planned at once, see '
  'docs/sql.md. Columns marked "kept by the service" are its own.';
COMMENT ON COLUMN schedules.id IS 'Given by the service (UUIDv7, ordered by time of creation).';
COMMENT ON COLUMN schedules.name IS
  'Unique, 1 to 255 characters. Seeds every H of a cron expression, so that renaming moves them.';
COMMENT ON COLUMN schedules.description IS 'For people.';
COMMENT ON COLUMN schedules.labels IS 'An object of texts, for filters and bulk commands: {"team": "research"}.';
COMMENT ON COLUMN schedules.enabled IS
  'false: nothing is due. Enabling plans from then on; what would have been due meanwhile is not made up for.';
COMMENT ON COLUMN schedules.paused_until IS
  'Nothing is due before this instant; infinity: until somebody resumes it; NULL or in the past: not paused.';
COMMENT ON COLUMN schedules.pause_note IS 'Why it is paused, for people.';
COMMENT ON COLUMN schedules.action IS 'What a consumer is to do: the name of a contract, as in GET /v1/actions.';
COMMENT ON COLUMN schedules.action_version IS 'The version of that contract.';
COMMENT ON COLUMN schedules.payload IS
  'The work itself, as the contract of the action has it. Checked when it is edited.';
COMMENT ON COLUMN schedules.targets IS
  'Machines, nodes, ...: one child run for each, under a parent run that is not published. NULL or empty: one run.';
COMMENT ON COLUMN schedules.webhook_pattern IS
  'Paths below /v1/hooks/ that fire it: * is one segment, ** any number. NULL: none.';
COMMENT ON COLUMN schedules.channel_pattern IS
  'Channels (routing keys of the channels exchange) that fire it: * is one word, # any number. NULL: none.';
COMMENT ON COLUMN schedules.kind IS
  'When it is due: cron | interval | once | calendar | event (when its dependencies have completed, or a signal comes)'
  ' | manual.';
COMMENT ON COLUMN schedules.cron_expression IS 'For kind cron: 5 fields, or 6 with the second first; see docs/cron.md.';
COMMENT ON COLUMN schedules.interval_seconds IS
  'For kind interval: seconds of elapsed time from one occurrence to the next.';
COMMENT ON COLUMN schedules.interval_anchor IS
  'For kind interval: an instant that is an occurrence. NULL: starts_at, else creation, which does not fire itself.';
COMMENT ON COLUMN schedules.run_at IS 'For kind once: the instant.';
COMMENT ON COLUMN schedules.calendar IS
  'For kind calendar: {"times": ["22:00:00"], "days_of_week": ["monday"] or "days_of_month": [1, -1], "start_day", '
  '"end_day"}.';
COMMENT ON COLUMN schedules.timezone IS 'IANA name of the zone in which cron_expression and calendar are read.';
COMMENT ON COLUMN schedules.dst_gap IS
  'A local time that does not exist: next_valid (fires at the first instant after the gap) | skip.';
COMMENT ON COLUMN schedules.dst_fold IS
  'A local time that exists twice: first | second | both. NULL: first, or both where every hour matches.';
COMMENT ON COLUMN schedules.starts_at IS 'Nothing is due before this instant (it is due at it). NULL: no bound.';
COMMENT ON COLUMN schedules.ends_at IS 'Nothing is due after this instant (it is due at it). NULL: no bound.';
COMMENT ON COLUMN schedules.jitter_seconds IS
  'Each run is handed over up to so many seconds late, the same for an occurrence every time. Its scheduled_for does '
  'not move.';
COMMENT ON COLUMN schedules.max_runs IS 'It is finished after so many runs that it started itself. NULL: no end.';
COMMENT ON COLUMN schedules.overlap IS
  'What becomes of an occurrence while an earlier run is unfinished: allow | skip | buffer_one | buffer_all | '
  'cancel_previous. NULL: the action''s default, else skip.';
COMMENT ON COLUMN schedules.catchup IS
  'Which of the occurrences that an outage left behind still run: latest | all | skip. The rest is one skipped: missed'
  ' row.';
COMMENT ON COLUMN schedules.catchup_window_seconds IS 'An occurrence that is later than so many seconds is missed.';
COMMENT ON COLUMN schedules.max_attempts IS
  'Attempts of a run, the first included. NULL: the action''s default, else 3.';
COMMENT ON COLUMN schedules.retry_backoff_seconds IS
  'Seconds before the second attempt. NULL: the action''s default, else 30.';
COMMENT ON COLUMN schedules.retry_backoff_multiplier IS
  'How much longer each following wait is, 1 to 100. NULL: the action''s default, else 2.';
COMMENT ON COLUMN schedules.retry_backoff_max_seconds IS
  'The longest wait between two attempts, seconds. NULL: the action''s default, else 3600.';
COMMENT ON COLUMN schedules.timeout_seconds IS
  'An attempt that runs longer has failed (timeout). NULL: the action''s default, else 7200.';
COMMENT ON COLUMN schedules.heartbeat_seconds IS
  'An attempt that is silent for longer has failed (heartbeat_lost). 0: no heartbeat is expected. NULL: the action''s '
  'default, else none.';
COMMENT ON COLUMN schedules.start_deadline_seconds IS
  'An attempt that has not started so many seconds after it could have has failed (not_started). NULL: the action''s '
  'default, else 86400.';
COMMENT ON COLUMN schedules.priority IS '1 high | 2 normal | 3 low. NULL: the action''s default, else 2.';
COMMENT ON COLUMN schedules.pool IS 'The pool whose cap its runs count against. NULL: the action''s, else default.';
COMMENT ON COLUMN schedules.depends_on IS
  'Ids of schedules: a run waits until each has completed since the occurrence before. No cycles.';
COMMENT ON COLUMN schedules.pause_after_failures IS 'It pauses itself after so many failures in a row. NULL: never.';
COMMENT ON COLUMN schedules.notify_on IS
  'Ends that are told to everybody, as events: completed | failed | skipped | cancelled | retrying.';
COMMENT ON COLUMN schedules.next_run_at IS
  'Kept by the service: when it is due next; NULL: nothing is (problem, disabled, paused, finished, event, manual), or'
  ' an edit is about to be planned.';
COMMENT ON COLUMN schedules.last_occurrence_at IS
  'Kept by the service: the latest instant that has been dealt with, run, skipped or missed. Planning never goes back '
  'before it. For kind event: up to when completions have been used.';
COMMENT ON COLUMN schedules.last_run_at IS 'Kept by the service: when its latest run was made.';
COMMENT ON COLUMN schedules.last_run_id IS 'Kept by the service: its latest run.';
COMMENT ON COLUMN schedules.run_count IS
  'Kept by the service: runs that it started itself, so not those asked for by hand.';
COMMENT ON COLUMN schedules.consecutive_failures IS 'Kept by the service: failed runs since the last completed one.';
COMMENT ON COLUMN schedules.needs_planning IS
  'Kept by the service: edited and not planned yet. It does not fire meanwhile. Setting it asks for validation and '
  'planning, without being an edit.';
COMMENT ON COLUMN schedules.plan_from IS
  'Kept by the service: occurrences up to this instant do not count. An edit of the timing sets it to now. Writing it '
  'plans from there; resuming with plan_from = paused_at catches up with the pause.';
COMMENT ON COLUMN schedules.paused_at IS 'Kept by the service: when the pause began.';
COMMENT ON COLUMN schedules.problem IS
  'Kept by the service: why it cannot be planned or fired, in words, field by field; NULL: nothing is wrong. Mending '
  'the row clears it.';
COMMENT ON COLUMN schedules.resolved IS
  'Kept by the service: its policy with every gap filled from the action and the service, as runs get it. Between an '
  'edit and its planning also what the edit put an end to (superseded).';
COMMENT ON COLUMN schedules.revision IS 'Kept by the service: counts the edits.';
COMMENT ON COLUMN schedules.created_at IS
  'Kept by the service: when it was created; what kind interval counts from if nothing else is said.';
COMMENT ON COLUMN schedules.updated_at IS 'Kept by the service: the last edit.';
--> statement-breakpoint
COMMENT ON TABLE runs IS
  'One row per occurrence, or per manual, event, dependency or backfill trigger, or per target of one. Kept by the '
  'service; the only column to write is cancel_requested_at.';
COMMENT ON COLUMN runs.id IS
  'Ordered by time. For an occurrence computed from schedule and instant, so that none can have two runs.';
COMMENT ON COLUMN runs.schedule_id IS
  'Its schedule, which may have been deleted since. NULL: an action that was run without one.';
COMMENT ON COLUMN runs.schedule_name IS 'The schedule''s name at the time.';
COMMENT ON COLUMN runs.parent_run_id IS 'For a child run: the run that stands for all targets.';
COMMENT ON COLUMN runs.target IS 'For a child run: which of the targets.';
COMMENT ON COLUMN runs.action IS 'What a consumer is to do.';
COMMENT ON COLUMN runs.action_version IS 'The version of the action''s contract.';
COMMENT ON COLUMN runs.payload IS 'The work itself, as it was when the run was made.';
COMMENT ON COLUMN runs.trigger_type IS 'Why there is a run: scheduled | manual | event | dependency | backfill.';
COMMENT ON COLUMN runs.triggered_by IS
  'Who or what: a schedule, an API token, the source of a command, a database role.';
COMMENT ON COLUMN runs.scheduled_for IS
  'The nominal instant of the occurrence, or when the run was asked for. A missed range has its first one.';
COMMENT ON COLUMN runs.priority IS '1 high | 2 normal | 3 low.';
COMMENT ON COLUMN runs.pool IS 'The pool that it counts in.';
COMMENT ON COLUMN runs.policy IS 'How it is treated from its trigger to its end: a copy of schedules.resolved.';
COMMENT ON COLUMN runs.exclusive IS
  'No other exclusive run of the schedule may be pending, dispatched or running (any overlap policy but allow).';
COMMENT ON COLUMN runs.status IS
  'waiting | pending | dispatched (handed to the broker) | running | completed | failed | cancelled | skipped.';
COMMENT ON COLUMN runs.status_reason IS
  'waiting: buffered | blocked | breaker_open. pending: unroutable | retry | jitter. skipped: overlap | missed | '
  'requested | dependency | consumer | overload | blackout. failed: error | timeout | heartbeat_lost | not_started | '
  'rejected | partial. cancelled: requested | unanswered | superseded | deleted.';
COMMENT ON COLUMN runs.error_code IS 'What the consumer calls the error.';
COMMENT ON COLUMN runs.error_message IS 'What went wrong, in words.';
COMMENT ON COLUMN runs.attempt IS '1, 2, 3 ...: the attempt that the row is about. Earlier ones are in run_attempts.';
COMMENT ON COLUMN runs.available_at IS
  'When the attempt may be handed over at the earliest: jitter and retry backoff move it.';
COMMENT ON COLUMN runs.progress IS '0 to 100, as the consumer said; of a parent, the mean of its children.';
COMMENT ON COLUMN runs.progress_message IS 'What the consumer said it is doing.';
COMMENT ON COLUMN runs.progress_sequence IS
  'The sequence of that message: a later one with a lower number does not count.';
COMMENT ON COLUMN runs.metrics IS 'Name to number, merged from all messages of the attempt.';
COMMENT ON COLUMN runs.result IS
  'What the consumer gave back. Of a missed range {first, last, count}; of a parent the counts of its children.';
COMMENT ON COLUMN runs.worker IS 'The source of the last status message: which consumer works on it.';
COMMENT ON COLUMN runs.traceparent IS 'W3C trace context of whoever asked; NULL: it is derived from id.';
COMMENT ON COLUMN runs.created_at IS 'When the service made the row.';
COMMENT ON COLUMN runs.dispatched_at IS 'When the attempt was handed to the broker.';
COMMENT ON COLUMN runs.started_at IS
  'When a consumer started the attempt; of a parent, when its first children were made.';
COMMENT ON COLUMN runs.heartbeat_at IS 'The last sign of life.';
COMMENT ON COLUMN runs.deadline_at IS
  'When the service looks at it next: start deadline, time-out, heartbeat, end of a wait.';
COMMENT ON COLUMN runs.cancel_requested_at IS
  'Set it (UPDATE runs SET cancel_requested_at = now() WHERE ...) to have the run cancelled; the service acts on it.';
COMMENT ON COLUMN runs.cancel_reason IS 'Why: requested | superseded | deleted | ... NULL: requested.';
COMMENT ON COLUMN runs.cancel_sent_at IS 'When the consumer was asked to stop.';
COMMENT ON COLUMN runs.completed_at IS 'When it ended, whichever way.';
COMMENT ON COLUMN runs.breaker_key IS 'The circuit breaker that its attempts count in.';
COMMENT ON COLUMN runs.targets IS 'Of a parent: its targets.';
COMMENT ON COLUMN runs.child_total IS 'Of a parent: how many children it gets. NULL: not a parent.';
COMMENT ON COLUMN runs.child_expanded IS 'Of a parent: how many of them there are.';
COMMENT ON COLUMN runs.child_completed IS 'Of a parent: children that completed.';
COMMENT ON COLUMN runs.child_failed IS 'Of a parent: children that failed.';
COMMENT ON COLUMN runs.child_cancelled IS 'Of a parent: children that were cancelled.';
COMMENT ON COLUMN runs.child_skipped IS 'Of a parent: children that were skipped.';
COMMENT ON COLUMN runs.child_progress IS 'Of a parent: the sum of its children''s progress.';
--> statement-breakpoint
COMMENT ON TABLE run_attempts IS
  'Attempts that failed and were followed by another one, as they stood at their end. Kept by the service.';
COMMENT ON COLUMN run_attempts.run_id IS 'The run.';
COMMENT ON COLUMN run_attempts.attempt IS '1, 2, 3 ...';
COMMENT ON COLUMN run_attempts.status IS 'How the attempt ended: failed.';
COMMENT ON COLUMN run_attempts.status_reason IS 'error | timeout | heartbeat_lost | not_started | rejected.';
COMMENT ON COLUMN run_attempts.error_code IS 'What the consumer calls the error.';
COMMENT ON COLUMN run_attempts.error_message IS 'What went wrong, in words.';
COMMENT ON COLUMN run_attempts.worker IS 'Which consumer worked on it.';
COMMENT ON COLUMN run_attempts.progress IS '0 to 100.';
COMMENT ON COLUMN run_attempts.metrics IS 'Name to number.';
COMMENT ON COLUMN run_attempts.result IS 'What the consumer gave back.';
COMMENT ON COLUMN run_attempts.available_at IS 'When it could be handed over at the earliest.';
COMMENT ON COLUMN run_attempts.dispatched_at IS 'When it was handed to the broker.';
COMMENT ON COLUMN run_attempts.started_at IS 'When a consumer started it.';
COMMENT ON COLUMN run_attempts.completed_at IS 'When it ended.';
--> statement-breakpoint
COMMENT ON TABLE leases IS
  'Runs that are being handed to the broker: one row per batch. One that has expired is taken over by any instance and'
  ' published again, with the same ids. Kept by the service.';
COMMENT ON COLUMN leases.id IS 'The batch.';
COMMENT ON COLUMN leases.instance IS 'The instance that publishes it.';
COMMENT ON COLUMN leases.run_ids IS 'Its runs, all of status dispatched.';
COMMENT ON COLUMN leases.lease_until IS 'Until when that instance is waited for.';
--> statement-breakpoint
COMMENT ON TABLE pools IS 'Caps on runs in flight, by name. Insert, change and drain them freely.';
COMMENT ON COLUMN pools.name IS 'As schedules and actions name it. A pool that an action names is made by the service.';
COMMENT ON COLUMN pools.max_in_flight IS
  'So many runs may be dispatched or running at once; 0 holds all. NULL: no cap.';
COMMENT ON COLUMN pools.drained IS 'true: nothing more of it is handed out; what is in flight goes on.';
COMMENT ON COLUMN pools.created_at IS 'When it was made.';
COMMENT ON COLUMN pools.updated_at IS 'When it was last changed over HTTP.';
--> statement-breakpoint
COMMENT ON TABLE breakers IS
  'Circuit breakers, by what they guard: after so many failures in a row runs are held until a probe succeeds. Kept by'
  ' the service; set state to closed to let go at once.';
COMMENT ON COLUMN breakers.key IS
  'The action, and the target or what its contract''s breaker key points at in the payload.';
COMMENT ON COLUMN breakers.action IS 'The action.';
COMMENT ON COLUMN breakers.state IS
  'closed (all is well) | open (runs are held) | half_open (one run goes out as a probe).';
COMMENT ON COLUMN breakers.failures IS 'Failed attempts in a row.';
COMMENT ON COLUMN breakers.threshold IS 'It opens after so many.';
COMMENT ON COLUMN breakers.cooldown_seconds IS 'Seconds from its opening to the probe.';
COMMENT ON COLUMN breakers.trips IS 'How often it has opened.';
COMMENT ON COLUMN breakers.opened_at IS 'When it opened last.';
COMMENT ON COLUMN breakers.probe_run_id IS 'The run that is the probe.';
COMMENT ON COLUMN breakers.updated_at IS 'When it changed.';
--> statement-breakpoint
COMMENT ON TABLE outbox IS
  'Events and control messages that were committed and are still to be sent. Kept by the service.';
COMMENT ON COLUMN outbox.id IS 'In order of writing.';
COMMENT ON COLUMN outbox.exchange IS
  'Which of the service''s exchanges, without the prefix: events | control | commands.';
COMMENT ON COLUMN outbox.routing_key IS 'Routing key and CloudEvents type.';
COMMENT ON COLUMN outbox.message_id IS 'The event''s id, the same however often it is sent.';
COMMENT ON COLUMN outbox.subject IS 'CloudEvents subject.';
COMMENT ON COLUMN outbox.data IS 'CloudEvents data.';
COMMENT ON COLUMN outbox.traceparent IS 'W3C trace context.';
COMMENT ON COLUMN outbox.created_at IS 'When it was written.';
COMMENT ON COLUMN outbox.lease_until IS 'An instance is sending it until then. NULL: none has tried yet.';
--> statement-breakpoint
COMMENT ON TABLE requests IS
  'Requests to run something, so that each is carried out once: triggers asked for with SQL (pocketwatch_trigger), and'
  ' idempotency keys of HTTP requests and commands. Kept for a day after the answer.';
COMMENT ON COLUMN requests.id IS 'What pocketwatch_trigger answers.';
COMMENT ON COLUMN requests.source IS 'sql; else who asked: the key of a request is unique within its source.';
COMMENT ON COLUMN requests.key IS 'The idempotency key. A trigger asked for with SQL has a random one.';
COMMENT ON COLUMN requests.schedule_name IS 'The schedule to run, by name. NULL: an action was run without one.';
COMMENT ON COLUMN requests.payload IS
  'sql: the payload to run it with, NULL for the schedule''s own. Else what was asked for, to tell a repetition from '
  'another request.';
COMMENT ON COLUMN requests.requested_by IS 'The database role, or who asked over HTTP or by command.';
COMMENT ON COLUMN requests.status IS 'pending | done (run_id says which run) | refused (problem says why).';
COMMENT ON COLUMN requests.run_id IS 'The run that it became. What became of the run is in run_history.';
COMMENT ON COLUMN requests.problem IS 'Why it was refused, in words.';
COMMENT ON COLUMN requests.created_at IS 'When it was asked.';
COMMENT ON COLUMN requests.answered_at IS 'When the service answered it.';
--> statement-breakpoint
COMMENT ON TABLE settings IS
  'What concerns all instances, by key. drained is an operator''s; the other keys are kept by the service.';
COMMENT ON COLUMN settings.key IS
  'drained (true: nothing is handed to the broker, due occurrences are recorded) | listening, retention (kept by the '
  'service).';
COMMENT ON COLUMN settings.value IS 'JSON.';
COMMENT ON COLUMN settings.updated_at IS 'When it was last changed by the service.';
--> statement-breakpoint
COMMENT ON TABLE instances IS 'Instances of the service that have been heard of within a day. Kept by the service.';
COMMENT ON COLUMN instances.id IS 'INSTANCE, else host name and process id.';
COMMENT ON COLUMN instances.version IS 'Of the service.';
COMMENT ON COLUMN instances.started_at IS 'When it started.';
COMMENT ON COLUMN instances.last_seen_at IS 'Its last sign of life; one is due at every poll.';
COMMENT ON COLUMN instances.broker IS 'ready, else the state of its connection.';
COMMENT ON COLUMN instances.heard_until IS
  'What consumers had reported before this instant, and the broker had handed to this instance, is in the database.';
COMMENT ON COLUMN instances.consuming_at IS 'When it was last known to be connected to the broker.';
COMMENT ON COLUMN instances.passes IS 'Each pass''s last run, its duration and error.';
--> statement-breakpoint
COMMENT ON TABLE audit IS
  'Who changed what: a row per edit of a schedule or pool, of a setting that is an operator''s, and per breaker closed'
  ' by hand. Written by triggers.';
COMMENT ON COLUMN audit.id IS 'In order of writing.';
COMMENT ON COLUMN audit.at IS 'When.';
COMMENT ON COLUMN audit.who IS
  'Who asked the service, by name (an API token, say); else role:<name>, the database role that logged in, which is '
  'the service''s own where it acted by itself.';
COMMENT ON COLUMN audit.operation IS 'insert | update | delete | truncate.';
COMMENT ON COLUMN audit.table_name IS 'schedules | pools | settings | breakers.';
COMMENT ON COLUMN audit.subject IS 'Name or key of the row, as it was before the change.';
COMMENT ON COLUMN audit.changes IS
  'update: column to {"from": before, "to": after}. insert, delete: the row, without what is NULL. Values longer than '
  '8,000 characters are cut off: {"cut_off": the beginning, "length", "md5"}.';
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_schedule_edited() IS 'Trigger of schedules: asks for planning, and says from when.';
COMMENT ON FUNCTION pocketwatch_schedule_backdated() IS 'Trigger of schedules: lets plan_from be written.';
COMMENT ON FUNCTION pocketwatch_wake() IS 'Trigger: wakes the pass that is its argument, on every instance.';
COMMENT ON FUNCTION pocketwatch_schedule_deleted() IS
  'Trigger of schedules: cancels what a deleted schedule had not started, and has its dependents planned.';
COMMENT ON FUNCTION pocketwatch_pool_changed() IS 'Trigger of pools: has the schedules planned that name it.';
--> statement-breakpoint
COMMENT ON TRIGGER schedules_edited ON schedules IS 'Every edit is planned.';
COMMENT ON TRIGGER schedules_backdated ON schedules IS 'Writing plan_from means: plan from there.';
COMMENT ON TRIGGER schedules_wake ON schedules IS 'Planning begins at once.';
COMMENT ON TRIGGER schedules_deleted ON schedules IS
  'What it had not started is cancelled; what is in flight goes on, history stays.';
COMMENT ON TRIGGER pools_wake ON pools IS 'A cap or a drain counts at once.';
COMMENT ON TRIGGER pools_changed ON pools IS 'Schedules that name the pool are planned anew.';
COMMENT ON TRIGGER settings_wake ON settings IS 'Resuming counts at once.';
COMMENT ON TRIGGER requests_wake ON requests IS 'A trigger asked for with SQL is carried out at once.';
