COMMENT ON TABLE run_changes IS
  'Which runs a statement has written; kept for ten minutes, and only while somebody follows runs (GET /v1/events). Kept by the service.';
--> statement-breakpoint
COMMENT ON COLUMN run_changes.transaction IS 'Whose statement it was: what a snapshot has not seen can be told by it.';
--> statement-breakpoint
COMMENT ON COLUMN run_changes.id IS 'Tells the statements of a transaction apart.';
--> statement-breakpoint
COMMENT ON COLUMN run_changes.run_ids IS 'The runs that it inserted or updated.';
--> statement-breakpoint
COMMENT ON COLUMN run_changes.changed_at IS 'When.';
--> statement-breakpoint
COMMENT ON TABLE run_followers IS 'Instances with clients that follow runs. Kept by the service.';
--> statement-breakpoint
COMMENT ON COLUMN run_followers.instance IS 'Its id in instances.';
--> statement-breakpoint
COMMENT ON COLUMN run_followers.follows_until IS
  'Changes are noted until then. An instance moves it on while it has such clients, and leaves it standing for those that come back.';
--> statement-breakpoint
-- One row per statement, not per run, and none at all while nobody follows: then a statement pays for one look at a table
-- of a few rows, and for the transition table, a copy in memory of the rows it wrote.
CREATE FUNCTION pocketwatch_note_run_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF EXISTS (SELECT FROM run_followers WHERE follows_until > clock_timestamp()) THEN
    INSERT INTO run_changes (run_ids) SELECT array_agg(id) FROM changed HAVING count(*) > 0;
  END IF;
  RETURN NULL;
END
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_note_run_changes() IS 'Notes in run_changes which runs a statement has written, while somebody follows them.';
--> statement-breakpoint
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION pocketwatch_note_run_changes() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;
--> statement-breakpoint
CREATE TRIGGER runs_inserted AFTER INSERT ON runs
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION pocketwatch_note_run_changes();
--> statement-breakpoint
COMMENT ON TRIGGER runs_inserted ON runs IS 'New runs are told to those who follow.';
--> statement-breakpoint
CREATE TRIGGER runs_updated AFTER UPDATE ON runs
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION pocketwatch_note_run_changes();
--> statement-breakpoint
COMMENT ON TRIGGER runs_updated ON runs IS 'Changes of runs are told to those who follow.';
