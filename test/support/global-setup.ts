import { randomBytes } from "node:crypto";
import type { TestProject } from "vitest/node";
import { servicesForTests } from "../../dev/services/find-services.ts";
import { migrate } from "../../src/database/migrate.ts";
import { buildService } from "./build.ts";
import { databaseUrl, dropDatabases, onServer } from "./database.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The Postgres that this run may make databases in. */
    readonly postgresUrl: string;
    readonly amqpUrl: string;
    /** Tells this run's databases and exchanges from another's on the same servers. */
    readonly runId: string;
    /** The service, compiled: a folder made by `buildService`. */
    readonly build: string;
  }
}

const say = (line: string) => console.log(line);

/** Once per run: two servers, a migrated database to copy, and the compiled service. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runId = randomBytes(4).toString("hex");
  const compiling = buildService();
  compiling.catch(() => {}); // awaited below, once the servers run
  const services = await servicesForTests(say);
  const servers = [services.postgres, services.broker].filter((service) => service !== null);
  const tearDown = async () => {
    if (services.postgres === null) await dropDatabases(services.databaseUrl, `pocketwatch_${runId}_`);
    await Promise.all(servers.map((server) => server.remove()));
  };
  try {
    const template = `pocketwatch_${runId}_template`;
    await onServer(services.databaseUrl, (client) => client.query(`CREATE DATABASE ${template}`));
    await migrate(databaseUrl(services.databaseUrl, template));
    project.provide("build", await compiling);
  } catch (error) {
    await tearDown();
    throw error;
  }
  project.provide("postgresUrl", services.databaseUrl);
  project.provide("amqpUrl", services.amqpUrl);
  project.provide("runId", runId);
  return tearDown;
}
