import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { connect } from "amqplib";
import { type Child, startChild } from "./child.ts";
import { rememberedPassword } from "./password.ts";
import { rememberedPorts } from "./ports.ts";
import { descendants, isAlive, signal } from "./process-tree.ts";
import { type Broker, CannotStart, type Say, type ServerTls } from "./service.ts";

export interface RabbitmqOptions {
  /** The server's start script; `rabbitmqctl` lies beside it. */
  readonly server: string;
  /** Holds everything this node keeps; made if it is missing. */
  readonly directory: string;
  readonly say?: Say;
  /** Speaks TLS as well, on this port, with clients that show a certificate. */
  readonly tls?: ServerTls & { readonly port: number };
  /** The directory is nobody's once this process has ended. */
  readonly disposable?: boolean;
}

const USER = "pocketwatch";

/**
 * A private RabbitMQ node that shares nothing with another one on this machine: ports, data, cookie, plugins and even
 * the name server (epmd) are its own, so its name cannot clash and no `rabbitmqctl` of the system reaches it.
 */
export async function startRabbitmq(options: RabbitmqOptions): Promise<Broker> {
  const directory = resolve(options.directory);
  const path = (name: string) => join(directory, name);
  for (const folder of ["", "home", "log"]) await mkdir(path(folder), { recursive: true });
  await endLeftover(path("pids.json"));
  const ports = await rememberedPorts(directory, ["amqp", "distribution", "epmd"]);
  const password = await rememberedPassword(directory);
  const url = `amqp://${USER}:${password}@127.0.0.1:${ports.amqp}`;
  const logFile = path("log/output.log");
  const env: NodeJS.ProcessEnv = {
    ...environment(),
    HOME: path("home"), // where Erlang keeps the cookie
    ERL_EPMD_PORT: String(ports.epmd),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_NODENAME: "pocketwatch@localhost",
    RABBITMQ_DIST_PORT: String(ports.distribution),
    RABBITMQ_CONF_ENV_FILE: path("environment.conf"), // empty, or the machine's own settings would win
    RABBITMQ_CONFIG_FILE: path("rabbitmq.conf"),
    RABBITMQ_ADVANCED_CONFIG_FILE: path("advanced.config"),
    RABBITMQ_ENABLED_PLUGINS_FILE: path("plugins"),
    RABBITMQ_MNESIA_BASE: path("data"),
    RABBITMQ_LOG_BASE: path("log"),
    RABBITMQ_PID_FILE: path("node.pid"),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
  };
  await writeFile(path("environment.conf"), "");
  await writeFile(path("plugins"), "[].\n");
  const config = [
    `listeners.tcp.local = 127.0.0.1:${ports.amqp}`,
    `default_user = ${USER}`, // these two count at the first start only, which is why the password is remembered
    `default_pass = ${password}`,
    "log.file = node.log",
  ];
  if (options.tls !== undefined) {
    const { port, ca, cert, key } = options.tls;
    for (const [name, pem] of Object.entries({ ca, cert, key })) {
      await writeFile(path(`${name}.pem`), pem, { mode: 0o600 });
      config.push(`ssl_options.${name}${name === "ca" ? "cert" : ""}file = ${path(`${name}.pem`)}`);
    }
    config.push(`listeners.ssl.local = 127.0.0.1:${port}`);
    config.push("ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true");
  }
  await writeFile(path("rabbitmq.conf"), `${config.join("\n")}\n`, { mode: 0o600 });
  const epmdCommand = await epmdOf(options.server);
  const removal = options.disposable ? { removeAfterwards: [directory] } : {};

  let node: Child | undefined;
  let epmd: Child | undefined;
  const kill = async () => {
    await Promise.all([node, epmd].map((child) => child?.running && child.kill()));
  };
  const broker: Broker = {
    description: `RabbitMQ (private, ${options.directory})`,
    url,
    port: ports.amqp,
    get failure() {
      return node?.failure ?? null;
    },
    async start() {
      if (node?.running) return;
      if (!epmd?.running) {
        const args = ["-port", String(ports.epmd), "-address", "127.0.0.1"];
        epmd = await startChild({ command: epmdCommand, args, env, cwd: "/", logFile, stopSignal: "SIGTERM" });
      }
      await writeFile(logFile, "");
      const started = startChild({
        command: options.server,
        args: [],
        env,
        cwd: directory,
        logFile,
        stopSignal: "SIGTERM",
        ...removal,
      });
      node = await started;
      await writeFile(path("pids.json"), JSON.stringify([node.pid, epmd.pid]));
      await untilReady(url, node, directory);
    },
    async stop() {
      await node?.stop(20_000);
      await epmd?.stop(2_000);
    },
    // Seen on 3.10: a quorum queue declared within the second before this never finds a leader again.
    kill,
    pause: async () => node?.pause(),
    resume: async () => node?.resume(),
    async remove() {
      await kill();
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
    async ctl(args) {
      const { stdout } = await promisify(execFile)(join(dirname(options.server), "rabbitmqctl"), [...args], { env });
      return stdout;
    },
  };
  if (!existsSync(path("data")))
    options.say?.("Starting a private RabbitMQ; its first start takes about 5 to 10 seconds.");
  await broker.start();
  return broker;
}

async function untilReady(url: string, node: Child, directory: string): Promise<void> {
  for (let tries = 0; node.running && tries < 600; tries++) {
    const connection = await connect(url, { timeout: 2_000 }).catch(() => null);
    if (connection !== null) return connection.close();
    await sleep(100);
  }
  const what = node.failure === null ? "does not answer after a minute." : `does not start: ${node.failure}\n`;
  await node.kill();
  throw new CannotStart(`RabbitMQ ${what} If its data is to blame, it can be thrown away: rm -r ${directory}`);
}

/** A node that outlived its owner is ended: it has been without its guard, and its state is unknown. */
async function endLeftover(file: string): Promise<void> {
  const pids = (await readFile(file, "utf8").then(JSON.parse, () => [])) as number[];
  for (const pid of pids) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (!/rabbitmq|epmd/.test(command)) continue; // ended, or the number has been given to another process since
    const tree = await descendants(pid);
    for (const each of tree) signal(each, "SIGKILL");
    while (tree.some(isAlive)) await sleep(20);
  }
}

/** epmd comes with Erlang, and so is found where `erl` is found or in Erlang's own folder. */
async function epmdOf(server: string): Promise<string> {
  const { stdout } = await promisify(execFile)("erl", ["-noinput", "-eval", PRINT_EPMD], { env: environment() }).catch(
    () => ({ stdout: "epmd" }),
  );
  if (stdout === "epmd" || existsSync(stdout)) return stdout;
  throw new CannotStart(`There is ${server}, but no epmd where its Erlang should have it (${stdout}).`);
}

const PRINT_EPMD =
  'io:put_chars(filename:join([code:root_dir(), "erts-" ++ erlang:system_info(version), "bin", "epmd"])), halt().';

/** What the caller's shell says about another node must not reach ours. */
function environment(): NodeJS.ProcessEnv {
  const others = /^(RABBITMQ_|ERL_|NOTIFY_SOCKET)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !others.test(name)));
}
