-- The instant everything in the database is judged by. A session may move it (SET pocketwatch.now = '...'), which is how
-- tests make time pass; nobody else needs to. STABLE, so that an index can serve "next_run_at <= pocketwatch_now()".
CREATE FUNCTION pocketwatch_now() RETURNS timestamptz(3) LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(nullif(current_setting('pocketwatch.now', true), '')::timestamptz, statement_timestamp())
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_now() IS 'The database clock, or what the session set as pocketwatch.now.';
--> statement-breakpoint
-- A random UUID whose first 48 bits are Unix milliseconds (RFC 9562, version 7): Postgres has uuidv7() only from 18 on.
-- A version 4 UUID carries the version nibble 0100; setting its two low bits makes it 0111.
CREATE FUNCTION pocketwatch_uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM coalesce(
          nullif(current_setting('pocketwatch.now', true), '')::timestamptz, clock_timestamp())) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6),
      52, 1), 53, 1), 'hex')::uuid
$$;
--> statement-breakpoint
COMMENT ON FUNCTION pocketwatch_uuid_v7() IS 'A time-ordered random UUID (version 7).';
