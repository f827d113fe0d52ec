-- Ids hardly compress, and trying to took 2 % of Postgres' time in a burst.
ALTER TABLE "leases" ALTER COLUMN "run_ids" SET STORAGE EXTERNAL;
