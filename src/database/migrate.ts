import { fileURLToPath } from "node:url";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate as applyMigrations } from "drizzle-orm/node-postgres/migrator";
import pg from "pg";

// Works from src/database and from dist/database alike.
const MIGRATIONS = fileURLToPath(new URL("../../drizzle", import.meta.url));

// Any number will do as long as every version uses the same one: "pocketwa" read as eight bytes.
const ADVISORY_LOCK = "8101816557577271137";

/**
 * Applies pending migrations. Instances that start together take turns under an advisory lock, so that each migration
 * runs once; the lock is the session's and goes with it, whatever happens.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: "pocketwatch migrate",
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  client.on("error", () => {}); // reported by the query that is waiting
  await client.connect();
  try {
    await client.query(`SELECT pg_advisory_lock(${ADVISORY_LOCK})`);
    await applyMigrations(drizzle(client), { migrationsFolder: MIGRATIONS });
  } finally {
    await client.end();
  }
}
