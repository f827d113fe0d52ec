import { createRequire } from "node:module";
import { holdTokens } from "./access/token-source.ts";
import { bearerSecret, findToken } from "./access/tokens.ts";
import { createApi } from "./api.ts";
import type { Config } from "./config.ts";
import { holdActions } from "./contracts/action-holder.ts";
import { connect, type Database } from "./database/connection.ts";
import { listen } from "./database/listen.ts";
import { migrate } from "./database/migrate.ts";
import { ensurePools } from "./database/pools.ts";
import type { Deps, PassName } from "./deps.ts";
import { createHttpServer } from "./http/server.ts";
import { openInboxes } from "./inboxes.ts";
import { createLocalPart } from "./local-part.ts";
import { type Loops, startLoops } from "./loops.ts";
import { createBroker } from "./messaging/broker.ts";
import { buildTopology } from "./messaging/topology.ts";
import { startedListening } from "./passes/echo.ts";
import { systemClock } from "./runtime/clock.ts";
import { armFailpoint } from "./runtime/failpoint.ts";
import { createLogger } from "./runtime/logger.ts";
import { collectProcessMetrics, createMetrics } from "./runtime/metrics.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

export interface App {
  /** Ends after the work in hand; what was claimed and not handed over stays under its lease. May be called twice. */
  stop(): Promise<void>;
}

const RETRY_MS = [250, 500, 1_000, 2_000, 5_000];
const CLOSE_TIMEOUT_MS = 10_000;

/**
 * Puts the parts together and starts them. Resolves once the HTTP server listens; a database or broker that is away is
 * waited for, with a log line each time, while `/readyz` says which.
 */
export async function startApp(config: Config): Promise<App> {
  armFailpoint(config.failpoint);
  const clock = systemClock;
  const logger = createLogger(config.log_level, { instance: config.instance });
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  const actions = holdActions(config.contracts_dir);
  for (const problem of await actions.reload()) logger.error(problem, "an action's contract cannot be used");

  const database = connect({ url: config.database_url, logger, max_connections: config.database_pool_size });
  const broker = createBroker({
    url: config.amqp_url,
    tls: config.amqp_tls,
    prefix: config.prefix,
    instance: config.instance,
    logger,
    clock,
    topology: () => buildTopology(config.prefix, actions.current().list()),
  });
  let loops: Loops | null = null;
  let migrated = false;
  const deps: Deps = {
    database,
    publisher: broker.publisher,
    actions: actions.current,
    reloadActions: async () => {
      const problems = await actions.reload();
      // New actions need their queues. Without a broker they get them with everything else, once it is back.
      await broker.redeclare().catch((error) => logger.warn({ err: error }, "the topology is not declared yet"));
      return problems;
    },
    clock,
    logger,
    metrics,
    instance: config.instance,
    prefix: config.prefix,
    wake: (pass: PassName) => loops?.wake(pass),
  };
  broker.publisher.onChange((ready) => {
    metrics.broker_ready.set(ready ? 1 : 0);
    if (ready) loops?.wakeAll();
  });

  const tokens = config.tokens && holdTokens(config.tokens, { clock, logger });
  const authenticate = (authorization: string | undefined) => {
    const secret = bearerSecret(authorization);
    return secret === null ? null : findToken(tokens?.current() ?? [], secret);
  };

  const http = await createHttpServer({
    host: config.http_host,
    port: config.http_port,
    ...(tokens === null ? {} : { authenticate }),
    requests_per_minute: config.requests_per_minute,
    api: createApi(
      deps,
      createLocalPart(deps, broker, config, () => loops),
    ),
    readiness: async () => ({
      database: await answers(database),
      broker: broker.publisher.ready,
      migrations: migrated,
    }),
    logger,
    metrics,
    version,
  });
  logger.info({ http: http.url }, "listening");

  const stopping = new AbortController();
  const listener = { stop: async () => {} };
  const running = run();

  async function run(): Promise<void> {
    for (let attempt = 0; !stopping.signal.aborted && !migrated; attempt += 1) {
      try {
        if (config.migrate_on_start) await migrate(config.database_url);
        const pools = actions.current().list();
        await database.transaction((tx) =>
          ensurePools(
            tx,
            pools.flatMap((action) => action.pool ?? []),
          ),
        );
        migrated = true;
      } catch (error) {
        const retry_in_ms = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]!;
        logger.error({ err: error, retry_in_ms }, "the database is not ready");
        await clock.sleep(retry_in_ms, stopping.signal);
      }
    }
    if (stopping.signal.aborted) return;
    loops = startLoops(deps, {
      poll_ms: config.poll_interval_ms,
      version,
      retention: config.retention,
      declare: async () => (broker.state().consuming === "connected" ? broker.redeclare() : null),
      broker: () => (broker.publisher.ready ? "ready" : broker.state().publishing),
    });
    // Before anything is heard, so that no silence from before this instance's time counts.
    await startedListening(deps).catch((error) => logger.warn({ err: error }, "the start of listening is not noted"));
    openInboxes(deps, broker);
    const { stop } = listen({
      url: config.database_url,
      clock,
      logger,
      onWake: (topic) => (topic === null ? loops?.wakeAll() : loops?.wake(topic as PassName)),
    });
    listener.stop = stop;
    logger.info({ version, prefix: config.prefix }, "pocketwatch is running");
  }

  async function end(): Promise<true> {
    tokens?.stop();
    // Claiming ends at once, whatever else takes its time; a start that is under way has its loops only afterwards.
    await Promise.all([loops?.stop(), http.close(), running]);
    await Promise.all([loops?.stop(), listener.stop()]);
    await broker.close(CLOSE_TIMEOUT_MS);
    await database.close();
    return true;
  }

  let stopped: Promise<void> | null = null;
  return {
    stop() {
      stopped ??= (async () => {
        stopping.abort();
        const timer = new AbortController();
        const late = clock.sleep(config.shutdown_timeout_ms, timer.signal).then(() => false);
        const inTime = await Promise.race([end(), late]);
        timer.abort();
        if (inTime) logger.info("pocketwatch has stopped");
        else logger.warn("pocketwatch stops without waiting any longer; what is in hand is left to its leases");
      })();
      return stopped;
    },
  };
}

async function answers(database: Database): Promise<boolean> {
  return database
    .transaction((tx) => tx.query("SELECT 1"))
    .then(
      () => true,
      () => false,
    );
}
