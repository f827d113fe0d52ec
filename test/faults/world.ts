import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type Channel, connect as connectBroker } from "amqplib";
import pg from "pg";
import { loadActions } from "../../src/contracts/action-registry.ts";
import { buildTopology, type Topology } from "../../src/messaging/topology.ts";
import { type AmqpProxy, startAmqpProxy } from "../support/amqp-proxy.ts";
import { type LedgerConsumer, type LedgerConsumerOptions, startLedgerConsumer } from "../support/ledger-consumer.ts";
import { type PostgresProxy, startPostgresProxy } from "../support/postgres-proxy.ts";
import { type ServiceProcess, type ServiceProcessOptions, startServiceProcess } from "../support/service-process.ts";
import { APART, CAPPED, ITEM, writeContracts } from "./contracts.ts";
import { type ExpectedSchedule, expand, type Planned } from "./plan.ts";
import { type Servers, servers } from "./servers.ts";

/** An instance of the service between two proxies of its own, so that a fault can hit it alone. */
export interface FaultInstance extends ServiceProcess {
  readonly toPostgres: PostgresProxy;
  readonly toBroker: AmqpProxy;
}

export interface StartOptions extends Partial<Pick<ServiceProcessOptions, "build" | "wrapper">> {
  readonly environment?: Record<string, string>;
  /** `name:action:nth`; it is then expected to end by itself. */
  readonly failpoint?: string;
  /** Does not wait until it runs. */
  readonly unready?: boolean;
  /** Sets the proxies up before the process connects through them. */
  readonly prepare?: (proxies: Pick<FaultInstance, "toPostgres" | "toBroker">) => void;
}

/** One scenario's private part of the servers, its instances and its consumer. */
export interface World {
  readonly servers: Servers;
  readonly prefix: string;
  readonly databaseUrl: string;
  readonly topology: Topology;
  readonly instances: readonly FaultInstance[];
  readonly consumers: readonly LedgerConsumer[];
  readonly expected: readonly ExpectedSchedule[];
  /** Wall clock, ms: the first instant at which something is due, and the last. */
  readonly start: number;
  readonly end: number;
  instance(name: string): FaultInstance;
  startInstance(name: string, options?: StartOptions): Promise<FaultInstance>;
  startConsumer(options?: Partial<LedgerConsumerOptions>): LedgerConsumer;
  /** Inserts the schedules, as an administrator would; the first instant is two seconds ahead. */
  plan(plan: readonly Planned[], seconds: number): Promise<void>;
  /** Resolves so many seconds after the first instant. */
  at(seconds: number): Promise<void>;
  rows<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Does something to the broker over a connection of its own. */
  onBroker<T>(work: (channel: Channel) => Promise<T>): Promise<T>;
  /** An action's work queue. */
  work: (action: string) => string;
  close(): Promise<void>;
}

export async function createWorld(choose = async (shared: Servers) => shared): Promise<World> {
  const home = await choose(await servers());
  const database = await home.createDatabase();
  const prefix = `flt-${randomBytes(4).toString("hex")}`;
  const contracts = await writeContracts(prefix);
  const topology = buildTopology(prefix, (await loadActions(contracts.directory)).list());
  const admin = new pg.Pool({ connectionString: database.url, max: 3, application_name: "rig" });
  admin.on("error", () => {});
  await admin.query("INSERT INTO pools (name, max_in_flight) VALUES ('capped', 5)");
  const instances: FaultInstance[] = [];
  const consumers: LedgerConsumer[] = [];
  const expected: ExpectedSchedule[] = [];
  const work = (action: string) => `${prefix}.work.${action}.v1`;

  const world = {
    servers: home,
    prefix,
    databaseUrl: database.url,
    topology,
    instances,
    consumers,
    expected,
    start: 0,
    end: 0,
    work,
    instance(name: string) {
      const found = instances.findLast((instance) => instance.name === name);
      if (found === undefined) throw new Error(`no instance ${name}`);
      return found;
    },
    async startInstance(name: string, options: StartOptions = {}) {
      const [toPostgres, toBroker] = await Promise.all([
        startPostgresProxy(database.url),
        startAmqpProxy(home.amqpUrl),
      ]);
      options.prepare?.({ toPostgres, toBroker });
      const process = startServiceProcess({
        name,
        build: options.build ?? home.build,
        environment: {
          DATABASE_URL: toPostgres.url,
          AMQP_URL: toBroker.url,
          TOPOLOGY_PREFIX: prefix,
          CONTRACTS_DIR: contracts.directory,
          POLL_INTERVAL_SECONDS: "5",
          ...(options.failpoint === undefined ? {} : { FAILPOINT: options.failpoint }),
          ...options.environment,
        },
        ...(options.wrapper === undefined ? {} : { wrapper: options.wrapper }),
      });
      const instance = Object.assign(Object.create(process) as ServiceProcess, { toPostgres, toBroker });
      instances.push(instance);
      if (!options.unready) await process.ready();
      return instance;
    },
    startConsumer(options: Partial<LedgerConsumerOptions> = {}) {
      const queues = [ITEM, CAPPED, APART].map(work);
      const consumer = startLedgerConsumer({ url: home.amqpUrl, prefix, queues, ...options });
      consumers.push(consumer);
      return consumer;
    },
    async plan(plan: readonly Planned[], seconds: number) {
      world.start = Math.ceil(Date.now() / 1_000) * 1_000 + 2_000;
      world.end = world.start + seconds * 1_000;
      const schedules = expand(plan, world.start, seconds);
      expected.push(...schedules);
      await insert(admin, schedules);
    },
    at: (seconds: number) => sleep(Math.max(0, world.start + seconds * 1_000 - Date.now())),
    async rows(text: string, values: readonly unknown[] = []) {
      return (await admin.query(text, [...values])).rows;
    },
    async onBroker<T>(work: (channel: Channel) => Promise<T>) {
      const connection = await connectBroker(home.amqpUrl);
      connection.on("error", () => {});
      const channel = await connection.createChannel();
      channel.on("error", () => {});
      const result = await work(channel);
      await connection.close();
      return result;
    },
    async close() {
      await Promise.all(instances.map((instance) => instance.kill()));
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await Promise.all(instances.flatMap(({ toPostgres, toBroker }) => [toPostgres.close(), toBroker.close()]));
      await admin.end();
      await dropTopology(home.amqpUrl, prefix, topology);
      await database.drop();
      await rm(contracts.directory, { recursive: true, force: true });
    },
  };
  return world as World;
}

async function insert(admin: pg.Pool, schedules: readonly ExpectedSchedule[]): Promise<void> {
  // Columns that are not named get their defaults, so schedules that name the same ones go together.
  const groups = new Map<string, ExpectedSchedule["row"][]>();
  for (const { row } of schedules) {
    const columns = Object.keys(row).sort().join(", ");
    groups.set(columns, [...(groups.get(columns) ?? []), row]);
  }
  for (const [columns, rows] of groups) {
    await admin.query(
      `INSERT INTO schedules (${columns}) SELECT ${columns} FROM jsonb_populate_recordset(null::schedules, $1::jsonb)`,
      [JSON.stringify(rows)],
    );
  }
}

async function dropTopology(url: string, prefix: string, topology: Topology): Promise<void> {
  const connection = await connectBroker(url);
  const channel = await connection.createChannel();
  await Promise.all(topology.queues.map(({ name }) => channel.deleteQueue(name)));
  const ours = topology.exchanges.filter(({ name }) => name.startsWith(prefix));
  await Promise.all(ours.map(({ name }) => channel.deleteExchange(name)));
  await connection.close();
}
