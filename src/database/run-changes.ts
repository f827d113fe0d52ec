import type { Statement, Tx } from "./connection.ts";

/*
 * Which runs were written, for those who follow them. Triggers note it in run_changes, a row per statement, for as long as
 * there are followers. A place in the stream is a snapshot of Postgres: what has happened since is what that snapshot does
 * not see. So a transaction that commits late is not passed over, as it would be by a time or a counter, and a place is the
 * same to every instance.
 */

/** A place in the stream, as text. */
export type Place = string;

/** For how long a client may come back to where it was, ms. */
export const WINDOW_MS = 300_000;
/** Notes live twice as long, so that none is taken from under a reader who is in time. */
const KEPT_MS = 2 * WINDOW_MS;
/** How often an instance with clients says so, ms. */
export const FOLLOW_EVERY_MS = 60_000;
/** Goes on for the whole window after the last word of an instance that was killed. */
const FOLLOW_FOR_MS = WINDOW_MS + 2 * FOLLOW_EVERY_MS;

const FOLLOW: Statement = {
  name: "follow_runs",
  text: `
    INSERT INTO run_followers (instance, follows_until) VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond')
    ON CONFLICT (instance) DO UPDATE SET follows_until = excluded.follows_until`,
};

/** Has changes noted from now on, for longer than until the next call. */
export async function followChanges(tx: Tx, instance: string): Promise<void> {
  await tx.query(FOLLOW, [instance, FOLLOW_FOR_MS]);
}

const WRITERS: Statement = {
  name: "writers_of_runs",
  text: `
    SELECT virtualtransaction AS writer FROM pg_locks
    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation = 'runs'::regclass AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()`,
};

/** Transactions that are writing runs. Those of before a `followChanges` may not have noted what they wrote. */
export async function writersOfRuns(tx: Tx): Promise<Set<string>> {
  const rows = await tx.query<{ writer: string }>(WRITERS);
  return new Set(rows.map((row) => row.writer));
}

const HERE: Statement = {
  name: "change_place",
  text: "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint || '-' || pg_current_snapshot() AS place",
};

/** The end of the stream. */
export async function placeNow(tx: Tx): Promise<Place> {
  const [row] = await tx.query<{ place: Place }>(HERE);
  return row!.place;
}

const BETWEEN: Statement = {
  name: "changes_between",
  text: `
    SELECT DISTINCT n.run_id FROM run_changes c, unnest(c.run_ids) AS n (run_id)
    WHERE c.transaction >= pg_snapshot_xmin($1::pg_snapshot)
      AND NOT pg_visible_in_snapshot(c.transaction, $1::pg_snapshot)
      AND pg_visible_in_snapshot(c.transaction, $2::pg_snapshot)
    LIMIT $3`,
};

/** Ids of runs that were written after one place and up to a later one, `limit` at most. */
export async function changesBetween(tx: Tx, after: Place, upTo: Place, limit: number): Promise<string[]> {
  const [from, to] = [parse(after)!, parse(upTo)!];
  if (from.snapshot === to.snapshot) return [];
  const rows = await tx.query<{ run_id: string }>(BETWEEN, [from.snapshot, to.snapshot, limit]);
  return rows.map((row) => row.run_id);
}

const FORGET: Statement = {
  name: "forget_changes",
  text: `
    WITH old AS (
      SELECT transaction, id FROM run_changes WHERE changed_at < clock_timestamp() - $1 * interval '1 millisecond'
      ORDER BY transaction, id LIMIT $2
    ), gone AS (
      DELETE FROM run_followers WHERE follows_until < clock_timestamp()
    )
    DELETE FROM run_changes c USING old WHERE c.transaction = old.transaction AND c.id = old.id RETURNING c.id`,
};

/** Forgets notes that nobody can ask for any more; answers how many. */
export async function forgetChanges(tx: Tx, limit: number): Promise<number> {
  return (await tx.query(FORGET, [KEPT_MS, limit])).length;
}

// A snapshot is `xmin:xmax:xid,xid…`. A place comes back from clients, so it may be any text.
const PLACE = /^(\d{13})-(\d{1,18}):(\d{1,18}):((?:\d{1,18}(?:,\d{1,18})*)?)$/;

interface ParsedPlace {
  /** Unix ms. */
  readonly at: number;
  readonly snapshot: string;
  readonly xmax: bigint;
}

function parse(place: Place): ParsedPlace | null {
  const [, at, xmin, xmax, open] = PLACE.exec(place) ?? [];
  if (at === undefined) return null;
  const [low, high] = [BigInt(xmin!), BigInt(xmax!)];
  const ids = open === "" ? [] : open!.split(",").map(BigInt);
  // What Postgres asks of a snapshot: xmin ≤ every xid < xmax, ascending.
  const ordered = ids.every((id, index) => id >= low && id < high && (index === 0 || id > ids[index - 1]!));
  return low > 0n && low <= high && ordered ? { at: Number(at), snapshot: place.slice(14), xmax: high } : null;
}

/** Whether everything between a client's place and this one is still known: within the window, and of this database. */
export function canResume(after: Place, upTo: Place): boolean {
  const [from, to] = [parse(after), parse(upTo)!];
  return from !== null && from.xmax <= to.xmax && to.at - from.at <= WINDOW_MS;
}
