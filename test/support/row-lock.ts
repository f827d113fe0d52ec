import pg from "pg";
import type { TestService } from "./service.ts";
import { waitFor } from "./wait-for.ts";

export interface RowLock {
  /** Waits until so many sessions wait for a lock in this database. */
  waiter(count: number): Promise<void>;
  /** Commits; those who wait go on in the order in which they came. */
  release(): Promise<void>;
}

/** Holds a row from a connection of its own, so that a test can line up others behind it in an order of its choice. */
export async function holdRow(service: TestService, id: string, table = "runs", key = "id"): Promise<RowLock> {
  const client = new pg.Client(service.url);
  client.on("error", () => {}); // reported by the query that is waiting
  await client.connect();
  await client.query("BEGIN");
  await client.query(`SELECT FROM ${table} WHERE ${key} = $1 FOR UPDATE`, [id]);
  return {
    waiter: (count) =>
      waitFor(
        async () => {
          // From another session: within one transaction the statistics stand still.
          const [row] = await service.rows<{ n: number }>(
            `SELECT count(*)::int AS n FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'`,
          );
          return row!.n >= count;
        },
        { describe: `${count} sessions to wait for a lock` },
      ).then(() => {}),
    async release() {
      await client.query("COMMIT");
      await client.end();
    },
  };
}
