CREATE TABLE "run_changes" (
	"transaction" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	"id" bigint GENERATED ALWAYS AS IDENTITY (sequence name "run_changes_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"run_ids" uuid[] NOT NULL,
	"changed_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "run_changes_transaction_id_pk" PRIMARY KEY("transaction","id")
);
--> statement-breakpoint
CREATE TABLE "run_followers" (
	"instance" text PRIMARY KEY NOT NULL,
	"follows_until" timestamp (3) with time zone NOT NULL
);
