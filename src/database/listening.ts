import type { Instant } from "../schedule/instant.ts";
import type { Statement, Tx } from "./connection.ts";
import { databaseNow } from "./supervision.ts";

/** Between which instants ingest is known to have kept up without a gap. */
export interface Listening {
  readonly since: Instant;
  readonly until: Instant;
}

// One row for all instances. A gap longer than the limit starts a new span: nothing is held against a run for the time in
// which nobody was listening to it.
const NOTE_LISTENING: Statement = {
  name: "note_listening",
  text: `
    INSERT INTO settings (key, value)
    VALUES ('listening', jsonb_build_object('since', $1::double precision, 'until', $1::double precision))
    ON CONFLICT (key) DO UPDATE SET updated_at = clock_timestamp(), value = jsonb_build_object(
      'since', CASE WHEN $1 - (settings.value->>'until')::double precision > $2 THEN $1
                    ELSE (settings.value->>'since')::double precision END,
      'until', greatest($1, (settings.value->>'until')::double precision))`,
};

const NOTE_HEARD: Statement = {
  name: "note_heard",
  text: `
    UPDATE instances SET heard_until = greatest(heard_until, to_timestamp($2::double precision / 1000)),
      consuming_at = pocketwatch_now()
    WHERE id = $1`,
};

/** Notes that what the broker had handed to this instance before its echo of `until` is in the database. */
export async function noteListening(tx: Tx, instance: string, until: Instant, gap_ms: number): Promise<void> {
  await tx.query(NOTE_HEARD, [instance, until]);
  await tx.query(NOTE_LISTENING, [until, gap_ms]);
}

// An echo says that the queue was read up to it, not that every instance has committed what it took: one that stands still
// may hold messages from before. So what is known is the latest instant that no instance is behind of. An instance that has
// not been in touch with the broker for longer than the broker's heartbeat lasts (10 s, twice) holds nothing any more:
// its messages went back to the queue, ahead of any echo sent after that.
const LISTENING: Statement = {
  name: "listening",
  text: `
    SELECT (value->>'since')::double precision AS since, least((value->>'until')::double precision, (
      SELECT extract(epoch FROM max(h.heard_until))::double precision * 1000 FROM instances h
      WHERE NOT EXISTS (
        SELECT FROM instances other
        WHERE other.heard_until < h.heard_until AND other.consuming_at >= h.heard_until - interval '45 seconds'
      ))) AS until
    FROM settings WHERE key = 'listening'`,
};

export async function listening(tx: Tx): Promise<Listening | null> {
  const [row] = await tx.query<Listening>(LISTENING);
  return row ?? null;
}

const RESET_LISTENING: Statement = {
  name: "reset_listening",
  text: `
    INSERT INTO settings (key, value)
    SELECT 'listening', jsonb_build_object('since', n.now, 'until', n.now)
    FROM (SELECT extract(epoch FROM pocketwatch_now())::double precision * 1000 AS now) AS n
    ON CONFLICT (key) DO UPDATE SET updated_at = clock_timestamp(), value = jsonb_build_object(
      'since', excluded.value->'since', 'until', settings.value->'until')`,
};

const START_LISTENING: Statement = {
  name: "start_listening",
  text: `
    INSERT INTO instances (id, version, last_seen_at, heard_until, consuming_at)
    VALUES ($1, '', pocketwatch_now(), pocketwatch_now(), pocketwatch_now())
    ON CONFLICT (id) DO UPDATE SET heard_until = excluded.heard_until, consuming_at = excluded.consuming_at`,
};

/** Starts a new span of listening at the database's instant; this instance has been handed nothing before it. */
export async function resetListening(tx: Tx, instance: string): Promise<void> {
  await tx.query(START_LISTENING, [instance]);
  await tx.query(RESET_LISTENING);
}

const CONSUMING: Statement = {
  name: "note_consuming",
  text: "UPDATE instances SET consuming_at = pocketwatch_now() WHERE id = $1",
};

/** Notes that this instance is in touch with the broker; answers the database's instant. */
export async function noteConsuming(tx: Tx, instance: string): Promise<Instant> {
  await tx.query(CONSUMING, [instance]);
  return databaseNow(tx);
}
