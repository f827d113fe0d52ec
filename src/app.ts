import { createRequire } from "node:module";
import type { Config } from "./config.ts";
import { holdActions } from "./contracts/action-holder.ts";
import { connect } from "./database/connection.ts";
import { listen } from "./database/listen.ts";
import { migrate } from "./database/migrate.ts";
import { ensurePools } from "./database/pools.ts";
import type { Deps, PassName } from "./deps.ts";
import { type Loops, startLoops } from "./loops.ts";
import { createBroker } from "./messaging/broker.ts";
import { buildTopology, names } from "./messaging/topology.ts";
import { startedListening } from "./passes/echo.ts";
import { ingest } from "./passes/ingest.ts";
import { rejectTriggers } from "./passes/reject.ts";
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

/** Puts the parts together and starts them. Resolves once they run; a database or broker that is away is waited for. */
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
    prefix: config.prefix,
    instance: config.instance,
    logger,
    clock,
    topology: () => buildTopology(config.prefix, actions.current().list()),
  });
  let loops: Loops | null = null;
  const deps: Deps = {
    database,
    publisher: broker.publisher,
    actions: actions.current,
    reloadActions: actions.reload,
    clock,
    logger,
    metrics,
    instance: config.instance,
    prefix: config.prefix,
    wake: (pass: PassName) => loops?.wake(pass),
  };

  const stopping = new AbortController();
  for (let attempt = 0; !stopping.signal.aborted; attempt += 1) {
    try {
      if (config.migrate_on_start) await migrate(config.database_url);
      await database.transaction((tx) =>
        ensurePools(
          tx,
          actions
            .current()
            .list()
            .flatMap((action) => action.pool ?? []),
        ),
      );
      break;
    } catch (error) {
      const retry_in_ms = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]!;
      logger.error({ err: error, retry_in_ms }, "the database is not ready");
      await clock.sleep(retry_in_ms, stopping.signal);
    }
  }

  loops = startLoops(deps, {
    poll_ms: config.poll_interval_ms,
    version,
    retention: config.retention,
    broker: () => (broker.publisher.ready ? "ready" : broker.state().publishing),
  });
  const { queue } = names(config.prefix);
  broker.publisher.onChange((ready) => {
    metrics.broker_ready.set(ready ? 1 : 0);
    if (ready) loops?.wakeAll();
  });
  broker.consume({
    queue: { name: queue.status },
    prefetch: 2_000,
    batch_size: 500,
    handle: async (batch) => void (await ingest(deps, batch)),
  });
  broker.consume({
    queue: { name: queue.rejected_triggers },
    prefetch: 200,
    batch_size: 100,
    handle: async (batch) => void (await rejectTriggers(deps, batch)),
  });
  const listener = listen({
    url: config.database_url,
    clock,
    logger,
    onWake: (topic) => (topic === null ? loops?.wakeAll() : loops?.wake(topic as PassName)),
  });
  await startedListening(deps);
  logger.info({ version, prefix: config.prefix }, "pocketwatch is running");

  let stopped: Promise<void> | null = null;
  return {
    stop() {
      stopped ??= (async () => {
        stopping.abort();
        await listener.stop();
        await loops?.stop();
        await broker.close(CLOSE_TIMEOUT_MS);
        await database.close();
        logger.info("pocketwatch has stopped");
      })();
      return stopped;
    },
  };
}
