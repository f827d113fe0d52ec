import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, chown, lstat, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";
import { type Account, accountForPostgres, firstClosedFolder } from "./account.ts";
import { type Child, startChild } from "./child.ts";
import { rememberedPassword } from "./password.ts";
import { rememberedPorts } from "./ports.ts";
import { type Binaries, findBinaries } from "./postgres-binaries.ts";
import { isAlive, signal } from "./process-tree.ts";
import { CannotStart, type Say, type ServerTls, type Service } from "./service.ts";

export interface PostgresOptions {
  /** Holds the data and the log; made if it is missing. */
  readonly directory: string;
  readonly say?: Say;
  /** Server settings beyond the usual: `{ fsync: "off" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Variables for the server's processes. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Speaks TLS as well, with who asks for it. */
  readonly tls?: ServerTls;
  /** The directory is nobody's once this process has ended. */
  readonly disposable?: boolean;
}

const USER = "pocketwatch";

/** A private Postgres on a free loopback port, with one database `pocketwatch`. */
export async function startPostgres(options: PostgresOptions): Promise<Service> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true });
  const account = await accountForPostgres(dirname(directory));
  const home = account === null ? directory : await homeFor(account, directory, options.say);
  const binaries = await findBinaries(account);
  // A newer major version cannot read an older one's files, and gets a folder of its own.
  const data = join(home, `data-${binaries.majorVersion}`);
  const logFile = join(directory, "postgres.log");
  await writeFile(logFile, "");

  await endLeftover(data);
  const password = await rememberedPassword(directory);
  if (!existsSync(data)) await initialise(binaries, data, account, password);
  const { port } = await rememberedPorts(directory, ["port"]);
  const url = `postgresql://${USER}:${password}@127.0.0.1:${port}/${USER}`;

  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "", // their paths have a length limit that a deep checkout exceeds
    max_connections: "200",
    timezone: "UTC",
    log_timezone: "UTC",
    dynamic_shared_memory_type: "mmap", // inside the data directory, so that a kill leaves nothing outside it
    ...(options.tls === undefined ? {} : await tlsSettings(options.tls, home, account)),
    ...options.settings,
  };
  const args = ["-D", data, "-p", String(port), ...Object.entries(settings).flatMap(([k, v]) => ["-c", `${k}=${v}`])];
  let child: Child | undefined;

  const service: Service = {
    description: `PostgreSQL ${binaries.majorVersion} (private, ${options.directory})`,
    url,
    port,
    get failure() {
      return child?.failure ?? null;
    },
    async start() {
      if (child?.running) return;
      for (let attempt = 1; ; attempt++) {
        child = await startChild({
          command: binaries.postgres,
          args,
          env: { ...environment(), ...options.environment },
          ...(account ?? {}),
          logFile,
          stopSignal: "SIGINT", // fast shutdown: ends the sessions, writes a checkpoint
          ...(options.disposable ? { removeAfterwards: [home, directory] } : {}),
        });
        if (await becomesReady(url, child)) return;
        // A predecessor that was killed a moment ago still holds the data through its last backends.
        if (attempt === 5) throw new CannotStart(`Postgres does not start: ${child.failure}`);
        await sleep(500);
      }
    },
    stop: async () => child?.stop(10_000),
    kill: async () => child?.kill(),
    pause: async () => child?.pause(),
    resume: async () => child?.resume(),
    async remove() {
      await child?.kill();
      for (const each of [home, directory]) await rm(each, { recursive: true, force: true });
    },
  };
  await service.start();
  await createDatabase(url);
  return service;
}

/** Where the account can work: the directory itself, or one outside if a folder above is closed to it (`/root`, say). */
async function homeFor(account: Account, directory: string, say?: Say): Promise<string> {
  const closed = await firstClosedFolder(directory, account);
  let home = join(directory, "server");
  if (closed !== null) {
    home = `/var/tmp/pocketwatch-postgres-${createHash("sha256").update(directory).digest("hex").slice(0, 16)}`;
    say?.(`Postgres cannot run as root, and ${closed} is closed to other users: its data is in ${home}.`);
  }
  await mkdir(home, { recursive: true, mode: 0o755 });
  // In a folder that everybody may write to, somebody could have put a link here first.
  const found = await lstat(home);
  if (!found.isDirectory() || ![0, account.uid].includes(found.uid)) throw new CannotStart(`${home} is not ours.`);
  await chown(home, account.uid, account.gid);
  await chmod(home, 0o700);
  return home;
}

async function initialise(binaries: Binaries, data: string, account: Account | null, password: string): Promise<void> {
  // Made beside its place and moved there when complete, so that an interrupted start leaves no half of a cluster.
  const unfinished = `${data}.unfinished`;
  const passwordFile = join(dirname(data), "initdb-password");
  await rm(unfinished, { recursive: true, force: true });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (account !== null) await chown(passwordFile, account.uid, account.gid);
  const args = ["-D", unfinished, "-U", USER, `--pwfile=${passwordFile}`, "--auth=scram-sha-256", "--encoding=UTF8"];
  args.push("--locale=C", "--no-sync", "--no-instructions");
  // The builtin provider sorts and folds the same on every machine, whatever locales it has installed. Older ones lack it.
  if (binaries.majorVersion >= 17) args.push("--locale-provider=builtin", "--builtin-locale=C.UTF-8");
  try {
    await promisify(execFile)(binaries.initdb, args, { env: environment(), cwd: "/", ...(account ?? {}) });
  } catch (error) {
    throw new CannotStart(`Postgres cannot make its data directory:\n${(error as Error).message}`);
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(unfinished, data);
}

async function tlsSettings(tls: ServerTls, home: string, account: Account | null): Promise<Record<string, string>> {
  const settings: Record<string, string> = { ssl: "on" };
  for (const [name, pem] of Object.entries(tls)) {
    const path = join(home, `${name}.pem`);
    // Postgres takes no key that anybody else can read.
    await writeFile(path, pem, { mode: 0o600 });
    if (account !== null) await chown(path, account.uid, account.gid);
    settings[`ssl_${name}_file`] = path;
  }
  return settings;
}

/** A server that outlived its owner is stopped: ours starts with known settings, on a port that is written down. */
async function endLeftover(data: string): Promise<void> {
  const pidFile = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
  const [pid, itsData] = pidFile.split("\n");
  if (pid === undefined || itsData !== data || !isAlive(Number(pid))) return;
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => data);
  if (!command.includes(data)) return; // the number has been given to another process since
  signal(Number(pid), "SIGCONT");
  signal(Number(pid), "SIGINT");
  for (let tries = 0; tries < 100 && isAlive(Number(pid)); tries++) await sleep(100);
}

async function becomesReady(url: string, child: Child): Promise<boolean> {
  while (child.running) {
    const client = new pg.Client({ connectionString: maintenanceUrl(url), connectionTimeoutMillis: 2_000 });
    client.on("error", () => {});
    const connected = await client.connect().then(
      () => true,
      () => false,
    );
    await client.end().catch(() => {});
    if (connected) return true;
    await sleep(30);
  }
  return false;
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: maintenanceUrl(url) });
  await client.connect();
  try {
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [USER]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${USER}`);
  } finally {
    await client.end();
  }
}

const maintenanceUrl = (url: string) => url.replace(/[^/]+$/, "postgres");

/** What the caller's shell says about its own Postgres (PGDATA, PGPORT, …) must not reach ours. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("PG"));
  return { ...Object.fromEntries(own), LC_ALL: "C" };
}
