import { pino } from "pino";
import { holdActions } from "../../src/contracts/action-holder.ts";
import { connect, type Database } from "../../src/database/connection.ts";
import { ensurePools } from "../../src/database/pools.ts";
import type { Deps, PassName } from "../../src/deps.ts";
import { type Broker, createBroker } from "../../src/messaging/broker.ts";
import { buildTopology } from "../../src/messaging/topology.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import type { Instant } from "../../src/schedule/instant.ts";
import { createTestBroker, type TestBroker } from "./broker.ts";
import { CONTRACTS } from "./contracts.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { waitFor } from "./wait-for.ts";

/** One instance of the service without its loops: the test calls the passes, and moves the database's clock. */
export interface TestService {
  readonly deps: Deps;
  readonly database: Database;
  readonly broker: Broker;
  readonly names: TestBroker;
  readonly url: string;
  /** What the service wanted to wake, in order. */
  readonly woken: PassName[];
  /** The database's instant from now on; null: the real one. */
  setNow(instant: Instant | string | null): void;
  /** Rows of a query, in a transaction of its own at the test's instant. */
  rows<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Another instance of the service on the same database and broker. */
  sibling(name: string): Promise<TestService>;
  stop(): Promise<void>;
}

export async function startTestService(contracts = CONTRACTS): Promise<TestService> {
  const database = await createTestDatabase();
  return start(database, createTestBroker(contracts), contracts, "test-1", true);
}

async function start(
  home: TestDatabase,
  names: TestBroker,
  contracts: string,
  instance: string,
  owner: boolean,
): Promise<TestService> {
  let now: Instant | null = null;
  const woken: PassName[] = [];
  const logger = pino({ level: process.env.TEST_LOG_LEVEL ?? "silent" });
  const database = connect({ url: home.url, logger, now: () => now });
  const actions = holdActions(contracts);
  await actions.reload();
  const list = () => actions.current().list();
  await database.transaction((tx) =>
    ensurePools(
      tx,
      list().flatMap((action) => action.pool ?? []),
    ),
  );
  const broker = createBroker({
    url: names.url,
    prefix: names.prefix,
    instance,
    logger,
    clock: systemClock,
    topology: () => buildTopology(names.prefix, list()),
  });
  await waitFor(() => broker.publisher.ready, { timeoutMs: 20_000, describe: "the broker to be ready" });
  const deps: Deps = {
    database,
    publisher: broker.publisher,
    actions: actions.current,
    reloadActions: actions.reload,
    clock: systemClock,
    logger,
    metrics: createMetrics(),
    instance,
    prefix: names.prefix,
    wake: (pass) => void woken.push(pass),
  };
  const siblings: TestService[] = [];
  return {
    deps,
    database,
    broker,
    names,
    url: home.url,
    woken,
    setNow(instant) {
      now = typeof instant === "string" ? Date.parse(instant) : instant;
    },
    rows: (text, values = []) => database.transaction((tx) => tx.query(text, values)),
    async sibling(name) {
      const sibling = await start(home, names, contracts, name, false);
      siblings.push(sibling);
      return sibling;
    },
    async stop() {
      await Promise.all(siblings.map((sibling) => sibling.stop()));
      await broker.close(5_000);
      await database.close();
      if (!owner) return;
      await names.drop();
      await home.drop();
    },
  };
}
