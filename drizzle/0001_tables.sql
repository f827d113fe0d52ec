CREATE TABLE "audit" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "audit_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"who" text NOT NULL,
	"operation" text NOT NULL,
	"table_name" text NOT NULL,
	"subject" text NOT NULL,
	"changes" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "breakers" (
	"key" text PRIMARY KEY NOT NULL,
	"action" text NOT NULL,
	"state" text DEFAULT 'closed' NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"threshold" integer NOT NULL,
	"cooldown_seconds" integer NOT NULL,
	"trips" integer DEFAULT 0 NOT NULL,
	"opened_at" timestamp (3) with time zone,
	"probe_run_id" uuid,
	"updated_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "breakers_state" CHECK ("state" IN ('closed', 'open', 'half_open'))
);
--> statement-breakpoint
CREATE TABLE "instances" (
	"id" text PRIMARY KEY NOT NULL,
	"version" text NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"last_seen_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"broker" text DEFAULT 'connecting' NOT NULL,
	"heard_until" timestamp (3) with time zone,
	"consuming_at" timestamp (3) with time zone,
	"passes" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "leases" (
	"id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL,
	"instance" text NOT NULL,
	"run_ids" uuid[] NOT NULL,
	"lease_until" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "outbox" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "outbox_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"exchange" text NOT NULL,
	"routing_key" text NOT NULL,
	"message_id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"subject" text,
	"data" jsonb NOT NULL,
	"traceparent" text,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"lease_until" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "pools" (
	"name" text PRIMARY KEY NOT NULL,
	"max_in_flight" integer,
	"drained" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "pools_name_length" CHECK (length(name) BETWEEN 1 AND 255),
	CONSTRAINT "pools_max_in_flight" CHECK (max_in_flight >= 0)
);
--> statement-breakpoint
CREATE TABLE "requests" (
	"id" uuid PRIMARY KEY DEFAULT pocketwatch_uuid_v7() NOT NULL,
	"source" text NOT NULL,
	"key" text DEFAULT gen_random_uuid()::text NOT NULL,
	"schedule_name" text,
	"payload" jsonb,
	"requested_by" text DEFAULT session_user NOT NULL,
	"status" text DEFAULT 'pending' NOT NULL,
	"run_id" uuid,
	"problem" text,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"answered_at" timestamp (3) with time zone,
	CONSTRAINT "requests_source_key" UNIQUE("source","key"),
	CONSTRAINT "requests_status" CHECK ("status" IN ('pending', 'done', 'refused'))
);
--> statement-breakpoint
CREATE TABLE "run_attempts" (
	"run_id" uuid NOT NULL,
	"attempt" integer NOT NULL,
	"status" text NOT NULL,
	"status_reason" text,
	"error_code" text,
	"error_message" text,
	"worker" text,
	"progress" real,
	"metrics" jsonb,
	"result" jsonb,
	"available_at" timestamp (3) with time zone,
	"dispatched_at" timestamp (3) with time zone,
	"started_at" timestamp (3) with time zone,
	"completed_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "run_attempts_run_id_attempt_pk" PRIMARY KEY("run_id","attempt")
);
--> statement-breakpoint
CREATE TABLE "runs" (
	"id" uuid PRIMARY KEY DEFAULT pocketwatch_uuid_v7() NOT NULL,
	"schedule_id" uuid,
	"schedule_name" text,
	"parent_run_id" uuid,
	"target" text,
	"action" text NOT NULL,
	"action_version" integer NOT NULL,
	"payload" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"trigger_type" text NOT NULL,
	"triggered_by" text,
	"scheduled_for" timestamp (3) with time zone NOT NULL,
	"priority" smallint DEFAULT 2 NOT NULL,
	"pool" text DEFAULT 'default' NOT NULL,
	"policy" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"exclusive" boolean DEFAULT false NOT NULL,
	"status" text DEFAULT 'pending' NOT NULL,
	"status_reason" text,
	"error_code" text,
	"error_message" text,
	"attempt" integer DEFAULT 1 NOT NULL,
	"available_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"progress" real,
	"progress_message" text,
	"progress_sequence" bigint,
	"metrics" jsonb,
	"result" jsonb,
	"worker" text,
	"traceparent" text,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"dispatched_at" timestamp (3) with time zone,
	"started_at" timestamp (3) with time zone,
	"heartbeat_at" timestamp (3) with time zone,
	"deadline_at" timestamp (3) with time zone,
	"cancel_requested_at" timestamp (3) with time zone,
	"cancel_reason" text,
	"cancel_sent_at" timestamp (3) with time zone,
	"completed_at" timestamp (3) with time zone,
	"breaker_key" text,
	"targets" text[],
	"child_total" integer,
	"child_expanded" integer,
	"child_completed" integer,
	"child_failed" integer,
	"child_cancelled" integer,
	"child_skipped" integer,
	"child_progress" double precision,
	CONSTRAINT "runs_status" CHECK ("status" IN ('waiting', 'pending', 'dispatched', 'running', 'completed', 'failed', 'cancelled', 'skipped')),
	CONSTRAINT "runs_status_reason" CHECK ("status_reason" IN ('buffered', 'blocked', 'breaker_open', 'unroutable', 'retry', 'jitter', 'overlap', 'missed', 'requested', 'dependency', 'consumer', 'overload', 'blackout', 'error', 'timeout', 'heartbeat_lost', 'not_started', 'rejected', 'partial', 'unanswered', 'superseded', 'deleted')),
	CONSTRAINT "runs_trigger_type" CHECK ("trigger_type" IN ('scheduled', 'manual', 'event', 'dependency', 'backfill')),
	CONSTRAINT "runs_priority" CHECK (priority BETWEEN 1 AND 3),
	CONSTRAINT "runs_attempt" CHECK (attempt >= 1)
);
--> statement-breakpoint
CREATE TABLE "schedules" (
	"id" uuid PRIMARY KEY DEFAULT pocketwatch_uuid_v7() NOT NULL,
	"name" text NOT NULL,
	"description" text,
	"labels" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"paused_until" timestamp (3) with time zone,
	"pause_note" text,
	"action" text NOT NULL,
	"action_version" integer DEFAULT 1 NOT NULL,
	"payload" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"targets" text[],
	"webhook_pattern" text,
	"channel_pattern" text,
	"kind" text NOT NULL,
	"cron_expression" text,
	"interval_seconds" integer,
	"interval_anchor" timestamp (3) with time zone,
	"run_at" timestamp (3) with time zone,
	"calendar" jsonb,
	"timezone" text DEFAULT 'UTC' NOT NULL,
	"dst_gap" text DEFAULT 'next_valid' NOT NULL,
	"dst_fold" text,
	"starts_at" timestamp (3) with time zone,
	"ends_at" timestamp (3) with time zone,
	"jitter_seconds" integer DEFAULT 0 NOT NULL,
	"max_runs" integer,
	"overlap" text,
	"catchup" text DEFAULT 'latest' NOT NULL,
	"catchup_window_seconds" integer DEFAULT 86400 NOT NULL,
	"max_attempts" integer,
	"retry_backoff_seconds" integer,
	"retry_backoff_multiplier" double precision,
	"retry_backoff_max_seconds" integer,
	"timeout_seconds" integer,
	"heartbeat_seconds" integer,
	"start_deadline_seconds" integer,
	"priority" smallint,
	"pool" text,
	"depends_on" uuid[] DEFAULT '{}' NOT NULL,
	"pause_after_failures" integer,
	"notify_on" text[] DEFAULT '{"failed"}' NOT NULL,
	"next_run_at" timestamp (3) with time zone,
	"last_occurrence_at" timestamp (3) with time zone,
	"last_run_at" timestamp (3) with time zone,
	"last_run_id" uuid,
	"run_count" bigint DEFAULT 0 NOT NULL,
	"consecutive_failures" integer DEFAULT 0 NOT NULL,
	"needs_planning" boolean DEFAULT true NOT NULL,
	"plan_from" timestamp (3) with time zone,
	"paused_at" timestamp (3) with time zone,
	"problem" text,
	"resolved" jsonb,
	"revision" bigint DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "schedules_name_key" UNIQUE("name"),
	CONSTRAINT "schedules_name_length" CHECK (length(name) BETWEEN 1 AND 255),
	CONSTRAINT "schedules_kind" CHECK ("kind" IN ('cron', 'interval', 'once', 'calendar', 'event', 'manual')),
	CONSTRAINT "schedules_overlap" CHECK ("overlap" IN ('allow', 'skip', 'buffer_one', 'buffer_all', 'cancel_previous')),
	CONSTRAINT "schedules_catchup" CHECK ("catchup" IN ('latest', 'all', 'skip')),
	CONSTRAINT "schedules_dst_gap" CHECK ("dst_gap" IN ('next_valid', 'skip')),
	CONSTRAINT "schedules_dst_fold" CHECK ("dst_fold" IN ('first', 'second', 'both')),
	CONSTRAINT "schedules_labels_object" CHECK (jsonb_typeof(labels) = 'object'),
	CONSTRAINT "schedules_catchup_window" CHECK (catchup_window_seconds >= 0),
	CONSTRAINT "schedules_jitter" CHECK (jitter_seconds BETWEEN 0 AND 86400),
	CONSTRAINT "schedules_max_runs" CHECK (max_runs > 0),
	CONSTRAINT "schedules_max_attempts" CHECK (max_attempts BETWEEN 1 AND 1000),
	CONSTRAINT "schedules_retry_backoff" CHECK (retry_backoff_seconds >= 0 AND retry_backoff_max_seconds >= 0),
	CONSTRAINT "schedules_retry_multiplier" CHECK (retry_backoff_multiplier BETWEEN 1 AND 100),
	CONSTRAINT "schedules_timeout" CHECK (timeout_seconds > 0),
	CONSTRAINT "schedules_heartbeat" CHECK (heartbeat_seconds >= 0),
	CONSTRAINT "schedules_start_deadline" CHECK (start_deadline_seconds > 0),
	CONSTRAINT "schedules_priority" CHECK (priority BETWEEN 1 AND 3),
	CONSTRAINT "schedules_pause_after_failures" CHECK (pause_after_failures > 0),
	CONSTRAINT "schedules_notify_on" CHECK (notify_on <@ ARRAY['completed', 'failed', 'skipped', 'cancelled', 'retrying']::text[])
);
--> statement-breakpoint
CREATE TABLE "settings" (
	"key" text PRIMARY KEY NOT NULL,
	"value" jsonb NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "audit_subject" ON "audit" USING btree ("table_name","subject","id");--> statement-breakpoint
CREATE INDEX "breakers_not_closed" ON "breakers" USING btree ("key") WHERE state <> 'closed';--> statement-breakpoint
CREATE INDEX "leases_until" ON "leases" USING btree ("lease_until");--> statement-breakpoint
CREATE INDEX "outbox_to_relay" ON "outbox" USING btree ("lease_until" NULLS FIRST,"id");--> statement-breakpoint
CREATE INDEX "requests_pending" ON "requests" USING btree ("id") WHERE status = 'pending';--> statement-breakpoint
CREATE INDEX "requests_created" ON "requests" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "runs_schedule" ON "runs" USING btree ("schedule_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "runs_exclusive" ON "runs" USING btree ("schedule_id") WHERE exclusive AND parent_run_id IS NULL AND status IN ('pending', 'dispatched', 'running');--> statement-breakpoint
CREATE INDEX "runs_lanes" ON "runs" USING btree ("pool","priority","available_at","id") WHERE status = 'pending' AND child_total IS NULL AND cancel_requested_at IS NULL;--> statement-breakpoint
CREATE INDEX "runs_in_flight" ON "runs" USING btree ("pool") WHERE status IN ('dispatched', 'running') AND child_total IS NULL;--> statement-breakpoint
CREATE INDEX "runs_waiting" ON "runs" USING btree ("schedule_id","status_reason","id") WHERE status = 'waiting' AND parent_run_id IS NULL;--> statement-breakpoint
CREATE INDEX "runs_breaker_held" ON "runs" USING btree ("breaker_key","id") WHERE status = 'waiting' AND status_reason = 'breaker_open';--> statement-breakpoint
CREATE INDEX "runs_completed" ON "runs" USING btree ("schedule_id","completed_at") WHERE status = 'completed' AND parent_run_id IS NULL;--> statement-breakpoint
CREATE INDEX "runs_deadline" ON "runs" USING btree ("deadline_at") WHERE deadline_at IS NOT NULL;--> statement-breakpoint
CREATE INDEX "runs_children" ON "runs" USING btree ("parent_run_id","id") WHERE parent_run_id IS NOT NULL;--> statement-breakpoint
CREATE INDEX "runs_to_expand" ON "runs" USING btree ("id") WHERE status IN ('pending', 'running') AND child_expanded < child_total;--> statement-breakpoint
CREATE INDEX "runs_to_cancel" ON "runs" USING btree ("id") WHERE cancel_requested_at IS NOT NULL AND cancel_sent_at IS NULL AND completed_at IS NULL;--> statement-breakpoint
CREATE INDEX "schedules_due" ON "schedules" USING btree ("next_run_at") WHERE next_run_at IS NOT NULL AND enabled AND NOT needs_planning;--> statement-breakpoint
CREATE INDEX "schedules_to_plan" ON "schedules" USING btree ("id") WHERE needs_planning;--> statement-breakpoint
CREATE INDEX "schedules_labels" ON "schedules" USING gin ("labels") WHERE labels <> '{}'::jsonb;--> statement-breakpoint
CREATE INDEX "schedules_dependents" ON "schedules" USING gin ("depends_on") WHERE cardinality(depends_on) > 0;