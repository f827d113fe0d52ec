import { chmod, mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aptInstall } from "./apt.ts";
import { engineAnswers, postgresContainer, rabbitmqContainer } from "./containers.ts";
import { startPostgres } from "./postgres.ts";
import { startRabbitmq } from "./rabbitmq.ts";
import { findRabbitmqServer, NO_BROKER } from "./rabbitmq-server.ts";
import { type Broker, CannotStart, type Say, type Service } from "./service.ts";

/** Where Postgres and RabbitMQ are, and what of it is ours; a server somebody else runs is only a URL. */
export interface Services {
  readonly databaseUrl: string;
  readonly amqpUrl: string;
  readonly postgres: Service | null;
  readonly broker: Broker | null;
}

/** For `npm start`: the servers the environment names, else private ones that keep their data in `directory`. */
export async function servicesForStart(directory: string, say: Say): Promise<Services> {
  const { DATABASE_URL, AMQP_URL } = process.env;
  return bothOrNone(
    DATABASE_URL || (() => startPostgres({ directory: join(directory, "postgres"), say })),
    AMQP_URL || (() => brokerForStart(join(directory, "rabbitmq"), say)),
    (service) => service.stop(),
  );
}

/** For the tests, which may do anything to a server: only one that the environment gives them, or one of their own. */
export async function servicesForTests(say: Say): Promise<Services> {
  const { TEST_DATABASE_URL, TEST_AMQP_URL } = process.env;
  return bothOrNone(
    TEST_DATABASE_URL || (() => disposablePostgres(say)),
    TEST_AMQP_URL || (() => disposableBroker(say)),
    (service) => service.remove(),
  );
}

/** A Postgres whose data nobody needs afterwards, for `remove()` to delete. */
export async function disposablePostgres(say: Say): Promise<Service> {
  const contained = await inDocker(() => postgresContainer(say), say);
  if (contained !== null) return contained;
  // Nothing here outlives the run, so nothing has to reach the disk; a kill -9 of the server loses nothing either.
  const settings = {
    fsync: "off",
    full_page_writes: "off",
    max_wal_size: "256MB",
  };
  return inDisposableDirectory("postgres", (directory) =>
    startPostgres({ directory, settings, disposable: true, say }),
  );
}

/** A RabbitMQ whose data nobody needs afterwards, for `remove()` to delete. */
export async function disposableBroker(say: Say): Promise<Broker> {
  const contained = await inDocker(() => rabbitmqContainer(say), say);
  if (contained !== null) return contained;
  const server = await installedOrInstall(say);
  return inDisposableDirectory("rabbitmq", (directory) => startRabbitmq({ server, directory, disposable: true }));
}

async function brokerForStart(directory: string, say: Say): Promise<Broker> {
  if (findRabbitmqServer() === null && (await engineAnswers())) return rabbitmqContainer(say, directory);
  return startRabbitmq({ server: await installedOrInstall(say), directory, say });
}

async function installedOrInstall(say: Say): Promise<string> {
  const server = findRabbitmqServer() ?? ((await aptInstall(["rabbitmq-server"], say)) ? findRabbitmqServer() : null);
  if (server === null) throw new CannotStart(NO_BROKER);
  return server;
}

/** Null without an engine, or with one that cannot run it (no way to the images, say). */
async function inDocker<T>(start: () => Promise<T>, say: Say): Promise<T | null> {
  if (!(await engineAnswers())) return null;
  return start().catch((error: Error) => {
    say(`Docker answers but cannot run it (${error.message}); going on without Docker.`);
    return null;
  });
}

/** Starts what is not given as a URL, both at once; if one fails, the other does not stay behind. */
async function bothOrNone(
  database: string | (() => Promise<Service>),
  amqp: string | (() => Promise<Broker>),
  undo: (service: Service) => Promise<void>,
): Promise<Services> {
  const [postgres, broker] = await Promise.allSettled([
    typeof database === "string" ? null : database(),
    typeof amqp === "string" ? null : amqp(),
  ]);
  if (postgres.status === "rejected" || broker.status === "rejected") {
    for (const each of [postgres, broker]) if (each.status === "fulfilled" && each.value) await undo(each.value);
    throw postgres.status === "rejected" ? postgres.reason : (broker as PromiseRejectedResult).reason;
  }
  return {
    databaseUrl: typeof database === "string" ? database : (postgres.value?.url ?? ""),
    amqpUrl: typeof amqp === "string" ? amqp : (broker.value?.url ?? ""),
    postgres: postgres.value,
    broker: broker.value,
  };
}

async function inDisposableDirectory<T>(name: string, start: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(await disposableRoot(), `pocketwatch-${name}-`));
  await chmod(directory, 0o711); // the account that root lends Postgres to has to pass through
  try {
    return await start(directory);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Memory where there is plenty: a new database is 300 new files, 10 ms there and up to 250 ms on a disk (seen here). */
async function disposableRoot(): Promise<string> {
  const memory = await statfs("/dev/shm").catch(() => null);
  return memory !== null && memory.bavail * memory.bsize > 4 * 2 ** 30 ? "/dev/shm" : tmpdir();
}
