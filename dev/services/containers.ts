import { createHash, randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "amqplib";
import pg from "pg";
import { onOurEnd } from "./guard.ts";
import { rememberedPassword } from "./password.ts";
import { freePort, rememberedPorts } from "./ports.ts";
import type { Broker, Say, Service } from "./service.ts";

interface Image {
  readonly image: string;
  readonly containerPort: number;
  readonly environment: Record<string, string>;
  readonly command?: readonly string[];
  readonly url: (host: string, port: number) => string;
  readonly answers: (url: string) => Promise<unknown>;
  /** Keeps its data across containers, under this name. */
  readonly kept?: { readonly name: string; readonly path: string };
  readonly port?: number;
}

const USER = "pocketwatch";

/** True where a Docker engine answers, whether through its socket or DOCKER_HOST. */
export async function engineAnswers(): Promise<boolean> {
  // Loaded only here: without an engine nobody should pay the second that testcontainers takes to load.
  const { getContainerRuntimeClient } = await import("testcontainers");
  return getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
}

/** For tests: nothing of it has to reach a disk. */
export async function postgresContainer(say: Say): Promise<Service> {
  const password = randomBytes(12).toString("hex");
  return startContainer(
    {
      image: "postgres:18",
      containerPort: 5432,
      environment: { POSTGRES_USER: USER, POSTGRES_DB: USER, POSTGRES_PASSWORD: password },
      command: ["postgres", "-c", "fsync=off", "-c", "max_connections=200", "-c", "max_wal_size=256MB"],
      url: (host, port) => `postgresql://${USER}:${password}@${host}:${port}/${USER}`,
      async answers(url) {
        const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
        client.on("error", () => {});
        await client.connect().finally(() => client.end().catch(() => {}));
      },
    },
    say,
  );
}

/** With a directory, the broker keeps its data: the directory's password and a volume named after it. */
export async function rabbitmqContainer(say: Say, directory?: string): Promise<Broker> {
  const password = directory === undefined ? randomBytes(12).toString("hex") : await rememberedPassword(directory);
  const name = directory && `pocketwatch-${createHash("sha256").update(resolve(directory)).digest("hex").slice(0, 12)}`;
  return startContainer(
    {
      image: "rabbitmq:4-management",
      containerPort: 5672,
      environment: { RABBITMQ_DEFAULT_USER: USER, RABBITMQ_DEFAULT_PASS: password },
      url: (host, port) => `amqp://${USER}:${password}@${host}:${port}`,
      answers: async (url) => (await connect(url, { timeout: 2_000 })).close(),
      ...(name === undefined ? {} : { kept: { name, path: "/var/lib/rabbitmq" } }),
      ...(directory === undefined ? {} : { port: (await rememberedPorts(directory, ["amqp"])).amqp }),
    },
    say,
  );
}

async function startContainer(options: Image, say: Say): Promise<Broker> {
  const { GenericContainer, getContainerRuntimeClient } = await import("testcontainers");
  const { container: engine } = await getContainerRuntimeClient();
  say(`Starting ${options.image} with Docker (the first time, its image is fetched) …`);
  const wanted = new GenericContainer(options.image)
    .withEnvironment(options.environment)
    // A port of our choosing, because one that Docker draws changes with every restart.
    .withExposedPorts({ container: options.containerPort, host: options.port ?? (await freePort()) });
  if (options.command !== undefined) wanted.withCommand([...options.command]);
  if (options.kept !== undefined) {
    const { name, path } = options.kept;
    await engine
      .getById(name)
      .remove({ force: true })
      .catch(() => {}); // left over from a start that was killed
    // RabbitMQ finds its data by its host's name.
    wanted
      .withName(name)
      .withHostname("pocketwatch")
      .withBindMounts([{ source: name, target: path }]);
  }
  const started = await wanted.start();
  const container = engine.getById(started.getId());
  // testcontainers has its own way of tidying up, which can be switched off; where the docker command is, this is sure.
  const dismissGuard = onOurEnd('docker rm -f -v "$1"', [started.getId()]);
  const port = started.getMappedPort(options.containerPort);
  const url = options.url(started.getHost(), port);
  await untilAnswered(() => options.answers(url), options.image);

  return {
    description: `${options.image} (Docker)`,
    url,
    port,
    failure: null, // Docker's to report
    async start() {
      await container.start().catch(unlessSo);
      await untilAnswered(() => options.answers(url), options.image);
    },
    stop: async () => void (await container.stop({ t: 10 }).catch(unlessSo)),
    kill: async () => void (await container.kill().catch(unlessSo)),
    pause: async () => void (await container.pause()),
    resume: async () => void (await container.unpause()),
    async remove() {
      await container.remove({ force: true, v: true });
      dismissGuard();
    },
    async ctl(args) {
      const { exitCode, stdout, stderr } = await started.exec(["rabbitmqctl", ...args]);
      if (exitCode !== 0) throw new Error(`rabbitmqctl ${args.join(" ")}: ${stderr || stdout}`);
      return stdout;
    },
  };
}

/** Docker answers 304 (no change) or 409 (conflict) where the container is in the wanted state already. */
function unlessSo(error: { statusCode?: number }): void {
  if (error.statusCode !== 304 && error.statusCode !== 409) throw error;
}

async function untilAnswered(ask: () => Promise<unknown>, what: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const failure = await ask().then(
      () => null,
      (error: Error) => error,
    );
    if (failure === null) return;
    if (tries === 300) throw new Error(`${what} does not answer after half a minute: ${failure.message}`);
    await sleep(100);
  }
}
