#!/usr/bin/env node
import { runCommandLine } from "./cli/program.ts";
import { systemSurroundings } from "./cli/system.ts";
import { readConfig, readMigrationConfig } from "./config.ts";

/*
 * The command line. The service's own code is loaded only by the two commands that are the service, so that the others,
 * which only talk HTTP, answer at once.
 */

async function serve(): Promise<void> {
  const config = readConfig();
  const { startApp } = await import("./app.ts");
  const app = await startApp(config);
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      // Who asks twice will not wait. What is in hand is under its leases.
      if (stopping) process.exit(1);
      stopping = true;
      void app.stop().then(() => process.exit(0));
    });
  }
}

async function migrate(): Promise<void> {
  const { database_url } = readMigrationConfig();
  const database = await import("./database/migrate.ts");
  await database.migrate(database_url);
}

process.exitCode = await runCommandLine(process.argv.slice(2), systemSurroundings({ serve, migrate }));
