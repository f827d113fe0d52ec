import { startApp } from "./app.ts";
import { InvalidConfiguration, readConfig } from "./config.ts";
import { migrate } from "./database/migrate.ts";

async function serve(): Promise<void> {
  const app = await startApp(readConfig());
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

const command = process.argv[2];
try {
  if (command === "serve") await serve();
  else if (command === "migrate") await migrate(readConfig().database_url);
  else {
    console.error("usage: pocketwatch serve | migrate");
    process.exitCode = 2;
  }
} catch (error) {
  if (!(error instanceof InvalidConfiguration)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
