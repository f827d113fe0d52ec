import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startPostgres } from "../../dev/services/postgres.ts";
import { startRabbitmq } from "../../dev/services/rabbitmq.ts";
import { findRabbitmqServer } from "../../dev/services/rabbitmq-server.ts";
import type { Broker, Service } from "../../dev/services/service.ts";
import { migrate } from "../../src/database/migrate.ts";

export interface BenchServices {
  readonly postgres: Service;
  readonly broker: Broker;
  readonly sql: pg.Client;
  stop(): Promise<void>;
}

/** Private, durable servers on this machine's disk: what a user has, not what a test may get away with. */
export async function startServices(settings: Record<string, string> = {}): Promise<BenchServices> {
  const directory = await mkdtemp(join(tmpdir(), "pocketwatch-bench-"));
  await chmod(directory, 0o711);
  const server = findRabbitmqServer();
  if (server === null) throw new Error("the benchmarks need an installed rabbitmq-server");
  const [postgres, broker] = await Promise.all([
    startPostgres({ directory: join(directory, "postgres"), settings }),
    startRabbitmq({ server, directory: join(directory, "rabbitmq") }),
  ]);
  await migrate(postgres.url);
  const sql = new pg.Client({ connectionString: postgres.url });
  await sql.connect();
  return {
    postgres,
    broker,
    sql,
    async stop() {
      await sql.end();
      await Promise.all([postgres.remove(), broker.remove()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
