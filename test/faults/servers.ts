import { randomBytes } from "node:crypto";
import { inject } from "vitest";
import { disposableBroker, disposablePostgres } from "../../dev/services/find-services.ts";
import type { Broker, Service } from "../../dev/services/service.ts";
import { migrate } from "../../src/database/migrate.ts";
import { buildService } from "../support/build.ts";
import { createTestDatabase, databaseUrl, dropDatabases, onServer } from "../support/database.ts";

/** Where a scenario takes place. `postgres` and `broker` are there to be harmed only in the full run. */
export interface Servers {
  readonly postgres: Service | null;
  readonly broker: Broker | null;
  readonly amqpUrl: string;
  /** The service, compiled once. */
  readonly build: string;
  createDatabase(): Promise<{ url: string; drop(): Promise<void> }>;
}

/** True in the full run, whose servers are nobody else's. */
export const FULL_RUN = process.env.FAULTS === "all";

let started: Promise<Servers> | undefined;

/** Once per run: the full run executes all files in one worker. */
export function servers(): Promise<Servers> {
  started ??= FULL_RUN ? startPrivate() : useShared();
  return started;
}

async function useShared(): Promise<Servers> {
  const [amqpUrl, build] = [inject("amqpUrl"), inject("build")];
  return { postgres: null, broker: null, amqpUrl, build, createDatabase: createTestDatabase };
}

async function startPrivate(): Promise<Servers> {
  const say = (line: string) => console.log(line);
  const [postgres, broker, build] = await Promise.all([disposablePostgres(say), disposableBroker(say), buildService()]);
  process.once("beforeExit", () => void Promise.all([postgres.remove(), broker.remove()]));
  await onServer(postgres.url, (client) => client.query("CREATE DATABASE faults_template"));
  await migrate(databaseUrl(postgres.url, "faults_template"));
  return {
    postgres,
    broker,
    amqpUrl: broker.url,
    build,
    async createDatabase() {
      const name = `faults_${randomBytes(4).toString("hex")}`;
      await onServer(postgres.url, (client) => client.query(`CREATE DATABASE ${name} TEMPLATE faults_template`));
      return { url: databaseUrl(postgres.url, name), drop: () => dropDatabases(postgres.url, name) };
    },
  };
}
