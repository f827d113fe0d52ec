CREATE INDEX "runs_set_aside" ON "runs" USING btree ("status","id") WHERE status IN ('failed', 'cancelled', 'skipped') OR (status IN ('pending', 'dispatched', 'running') AND (child_total IS NOT NULL OR cancel_requested_at IS NOT NULL));--> statement-breakpoint
CREATE INDEX "schedules_with_problem" ON "schedules" USING btree ("name") WHERE problem IS NOT NULL;--> statement-breakpoint
CREATE INDEX "schedules_disabled" ON "schedules" USING btree ("name") WHERE NOT enabled;--> statement-breakpoint
CREATE INDEX "schedules_not_due" ON "schedules" USING btree ("name") WHERE next_run_at IS NULL;--> statement-breakpoint
CREATE INDEX "schedules_paused" ON "schedules" USING btree ("name") WHERE paused_until IS NOT NULL;--> statement-breakpoint
CREATE INDEX "schedules_limited" ON "schedules" USING btree ("name") WHERE max_runs IS NOT NULL;--> statement-breakpoint
CREATE INDEX "schedules_signalled" ON "schedules" USING btree ("name") WHERE webhook_pattern IS NOT NULL OR channel_pattern IS NOT NULL;