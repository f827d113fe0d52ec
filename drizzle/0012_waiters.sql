CREATE INDEX "schedules_waiters" ON "schedules" USING btree ("id") WHERE cardinality(depends_on) > 0 AND kind = 'event' AND enabled;--> statement-breakpoint
-- Ids hardly compress, and trying to took 2 % of Postgres' time in a burst.
ALTER TABLE "leases" ALTER COLUMN "run_ids" SET STORAGE EXTERNAL;
