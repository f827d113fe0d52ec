import pg from "pg";
import { waitFor } from "./wait-for.ts";

export interface RowLock {
  /** Waits until so many sessions wait for what it holds, or for somebody who waits for that. */
  waiter(count: number): Promise<void>;
  /** Commits; those who wait go on in the order in which they came. May be called twice. */
  release(): Promise<void>;
}

interface InDatabase {
  readonly url: string;
  rows<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

const BEHIND = `
  WITH RECURSIVE behind (pid) AS (
    SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND $1::int = ANY(pg_blocking_pids(pid))
    UNION
    SELECT a.pid FROM pg_stat_activity a JOIN behind b ON b.pid = ANY(pg_blocking_pids(a.pid))
    WHERE a.wait_event_type = 'Lock')
  SELECT count(*)::int AS n FROM behind`;

/** An open transaction on a connection of its own: what it locks, others wait for, in an order of the test's choice. */
export async function holdSession(service: InDatabase): Promise<RowLock & { readonly client: pg.Client }> {
  const client = new pg.Client(service.url);
  client.on("error", () => {}); // reported by the query that is waiting
  await client.connect();
  await client.query("BEGIN");
  const held_by = (await client.query("SELECT pg_backend_pid() AS pid")).rows[0].pid;
  let released: Promise<void> | null = null;
  return {
    client,
    waiter: (count) =>
      waitFor(
        async () => {
          // From another session: within one transaction the statistics stand still.
          const [row] = await service.rows<{ n: number }>(BEHIND, [held_by]);
          return row!.n >= count;
        },
        { describe: `${count} sessions to wait for the lock` },
      ).then(() => {}),
    release() {
      released ??= client.query("COMMIT").then(() => client.end());
      return released;
    },
  };
}

/** Holds a row, so that a test can line up others behind it. */
export async function holdRow(service: InDatabase, id: string, table = "runs", key = "id"): Promise<RowLock> {
  const session = await holdSession(service);
  await session.client.query(`SELECT FROM ${table} WHERE ${key} = $1 FOR UPDATE`, [id]);
  return session;
}
