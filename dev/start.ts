/*
 * `npm start`: Pocketwatch on one machine with nothing set up before. Backing services, the service, sample schedules,
 * the Python scout agent, and a line for every change of a run. Ctrl-C ends all of it.
 */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Api, apiAt } from "./api.ts";
import { RunDisplay, worthShowing } from "./display.ts";
import { onlyOneIn } from "./only-one.ts";
import { startProgram } from "./program.ts";
import { pythonWithPika } from "./python.ts";
import { FIRST_TO_RUN, SAMPLE_SCHEDULES } from "./samples.ts";
import { type Child, lastLines } from "./services/child.ts";
import { type Services, servicesForStart } from "./services/find-services.ts";
import { isFree } from "./services/ports.ts";
import { CannotStart } from "./services/service.ts";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const LOCAL = ".local";
const LOGS = join(LOCAL, "log");
const SERVICE_LOG = join(LOGS, "service.log");
const say = (line: string) => console.log(line);

/** What runs, in the order in which it is to be stopped: whoever uses a thing goes before it. */
const running: { agent?: Child; service?: Child; services?: Services } = {};
const interrupted = new AbortController();

async function main(): Promise<void> {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new CannotStart(`Pocketwatch needs Node.js 20.19 or later; this is ${process.version}.`);
  }
  await onlyOneIn(LOCAL);
  await mkdir(LOGS, { recursive: true });
  say("Starting Postgres and RabbitMQ …");
  const services = await servicesForStart(LOCAL, say);
  running.services = services;
  for (const each of [services.postgres, services.broker]) if (each !== null) say(`  ${each.description}`);
  if (interrupted.signal.aborted) return;

  const environment = {
    ...process.env,
    DATABASE_URL: services.databaseUrl,
    AMQP_URL: services.amqpUrl,
    // A tour on loopback, by programs that bring no token.
    API_TOKENS: "",
    API_TOKENS_FILE: "",
  };
  const port = await httpPort();
  const base = `http://127.0.0.1:${port}`;
  const api = apiAt(base);
  say("Starting Pocketwatch …");
  const service = await startProgram({
    command: process.execPath,
    args: ["--import", "tsx", "src/main.ts", "serve"],
    env: { ...environment, HTTP_PORT: String(port) },
    logFile: SERVICE_LOG,
    onLine: show,
  });
  running.service = service;
  for (let tries = 0; !(await api.isReady()) && !interrupted.signal.aborted; tries++) {
    throwIfFailed();
    if (tries === 600) throw new CannotStart(`Pocketwatch is not ready after a minute:\n${lastLines(SERVICE_LOG)}`);
    await sleep(100);
  }
  if (interrupted.signal.aborted) return;
  const display = new RunDisplay();
  display.ignore(await api.runs());
  for (const schedule of SAMPLE_SCHEDULES) await api.addSchedule(schedule);
  await startAgent({ ...environment });
  await api.trigger(FIRST_TO_RUN);
  introduce(base, services);
  await watch(api, display);
}

async function startAgent(environment: NodeJS.ProcessEnv): Promise<void> {
  const python = await pythonWithPika(say);
  if (python === null || interrupted.signal.aborted) return;
  const folder = join("consumers", "scout-agent");
  running.agent = await startProgram({
    command: python,
    args: ["-u", join(folder, "scout_agent.py")],
    env: { SCOUT_SOURCES: `stratninja=${join(process.cwd(), folder, "samples")}`, ...environment },
    logFile: join(LOGS, "scout-agent.log"),
    onLine: (line) => / (WARNING|ERROR|CRITICAL) /.test(line) && say(line),
  });
}

/** Until Ctrl-C, or until something dies that nothing works without. */
async function watch(api: Api, display: RunDisplay): Promise<void> {
  while (!interrupted.signal.aborted) {
    throwIfFailed();
    if (running.agent?.failure) {
      say(`The scout agent has ended (${running.agent.failure})\nGoing on without it.`);
      delete running.agent;
    }
    const runs = await api.runs().catch(() => []); // an answer that fails is in the service's log
    for (const line of display.changes(runs)) say(line);
    await sleep(200, undefined, { signal: interrupted.signal }).catch(() => {});
  }
}

function throwIfFailed(): void {
  const { service, services } = running;
  const parts = { Pocketwatch: service, Postgres: services?.postgres, RabbitMQ: services?.broker };
  for (const [name, part] of Object.entries(parts)) {
    if (part?.failure) throw new CannotStart(`${name} has ended: ${part.failure}`);
  }
}

function introduce(base: string, { databaseUrl, amqpUrl, postgres, broker }: Services): void {
  // The passwords of servers that are not ours stay in the environment they came from.
  const psql = postgres === null ? 'psql "$DATABASE_URL"' : `psql '${databaseUrl}'`;
  say(`
Pocketwatch is running. Ctrl-C stops everything; a second start goes on where this one ends.

  HTTP      ${base}/v1/schedules
  Postgres  ${psql}
  RabbitMQ  ${broker === null ? "$AMQP_URL" : amqpUrl}
  Logs      ${LOGS}/

Things to try:
  curl -s ${base}/v1/schedules
  curl -s -X POST ${base}/v1/schedules/scout-nightly/trigger
  curl -s '${base}/v1/runs?limit=1'
  ${psql} -c "INSERT INTO schedules (name, kind, interval_seconds, action, payload) VALUES
    ('from-sql', 'interval', 10, 'scout.trigger', '{\\"source\\": \\"stratninja\\", \\"max_strategies\\": 3}')"
`);
}

async function httpPort(): Promise<number> {
  const wanted = Number(process.env.HTTP_PORT || 7420);
  for (let port = wanted; port < wanted + 100; port++) {
    if (!(await isFree(port))) continue;
    if (port !== wanted) say(`Port ${wanted} is in use; HTTP is on ${port}.`);
    return port;
  }
  throw new CannotStart(`All ports from ${wanted} to ${wanted + 99} are in use; set HTTP_PORT to a free one.`);
}

function show(logLine: string): void {
  const line = worthShowing(logLine);
  if (line !== null && !interrupted.signal.aborted) say(line);
}

async function stopEverything(): Promise<void> {
  const { agent, service, services } = running;
  await Promise.all([agent?.stop(5_000), service?.stop(15_000)]);
  await Promise.all([services?.broker?.stop(), services?.postgres?.stop()]);
}

let interruptedAt = 0;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // A terminal's Ctrl-C arrives more than once: from the terminal, and passed on by npm. A person's second one comes
    // later, and leaves the rest to the guards.
    if (interrupted.signal.aborted && performance.now() - interruptedAt > 1_000) process.exit(130);
    if (interrupted.signal.aborted) return;
    interruptedAt = performance.now();
    say("\nStopping …");
    interrupted.abort();
  });
}
process.stdout.on("error", () => interrupted.abort()); // nobody reads on: `npm start | head`

let failed = false;
try {
  await main();
} catch (error) {
  failed = !interrupted.signal.aborted; // what fails because it is being stopped is no failure
  if (failed) console.error(error instanceof CannotStart ? `\n${error.message}` : error);
}
await stopEverything();
process.exit(failed ? 1 : 0);
