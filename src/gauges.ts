import { Gauge } from "prom-client";
import { type Census, census, type Measurements, measure } from "./database/measurements.ts";
import type { Deps } from "./deps.ts";
import { buildTopology, deadQueue, names } from "./messaging/topology.ts";

/** How many messages lie in queues and who consumes them; queues of which the broker cannot say are left out. */
type QueueDepths = (
  queues: readonly string[],
) => Promise<ReadonlyMap<string, { readonly messages: number; readonly consumers: number }>>;

/** How long the census stands, ms: it looks at every breaker, of which there may be one per host. */
const CENSUS_MS = 60_000;
const BREAKER_STATES = ["closed", "half_open", "open"];

/**
 * Figures about the state of things, read when somebody asks for the metrics: nothing is counted while nobody looks. They are
 * those of all instances together, so that one scrape is enough, and a sum over instances would be wrong.
 */
export function createGauges(deps: Deps, queueDepths: QueueDepths | undefined): () => Promise<void> {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `pocketwatch_${name}`, help, labelNames, registers: [deps.metrics.registry] });
  const instances = gauge("instances", "Instances heard of within 90 seconds");
  const schedules = gauge("schedules", "Schedules, by state", ["state"]);
  const runs = gauge("runs_open", "Runs that have not ended, by what they do", ["status"]);
  const overdue = gauge("overdue_seconds", "How long the schedule that is overdue longest has been");
  const oldest = gauge("pending_oldest_seconds", "How long the run that waits longest could have been dispatched");
  const drained = gauge("drained", "1 while nothing is handed to the broker");
  const leases = gauge("leases", "Batches being handed to the broker");
  const outbox = gauge("outbox_messages", "Lifecycle and control messages to be sent");
  const pool = {
    size: gauge("pool_size", "Most runs in flight; pools without a cap are left out", ["pool"]),
    busy: gauge("pool_busy", "Runs in flight", ["pool"]),
    idle: gauge("pool_idle", "How many more may be in flight; pools without a cap are left out", ["pool"]),
    drained: gauge("pool_drained", "1 while the pool hands out nothing", ["pool"]),
    pending: gauge("pool_pending", "Runs to be dispatched", ["pool", "priority"]),
  };
  const breakers = gauge("breakers", "Circuit breakers, by state", ["state"]);
  const breaker = gauge("breaker_state", "Breakers that are not closed: 1 half open, 2 open", ["key", "action"]);
  const trips = gauge("breaker_trips", "How often the breakers of an action have opened", ["action"]);
  const messages = gauge("queue_messages", "Triggers that wait for a consumer", ["action", "version"]);
  const consumers = gauge("queue_consumers", "Consumers of an action", ["action", "version"]);
  const dead = gauge("dead_letters", "Messages that nobody could handle, by the queue they were meant for", ["queue"]);

  function showMeasurements(measured: Measurements): void {
    const { pools } = measured;
    const sum = (count: (one: Measurements["pools"][number]) => number) =>
      pools.reduce((all, one) => all + count(one), 0);
    instances.set(measured.instances);
    overdue.set(measured.overdue_seconds);
    oldest.set(Math.max(0, ...pools.map((one) => one.oldest_seconds)));
    drained.set(measured.drained ? 1 : 0);
    leases.set(measured.leases);
    outbox.set(measured.outbox);
    for (const [state, count] of Object.entries(measured.schedules)) schedules.set({ state }, count);
    runs.set({ status: "waiting" }, measured.waiting);
    runs.set(
      { status: "pending" },
      sum(({ high, normal, low }) => high + normal + low),
    );
    runs.set(
      { status: "in_flight" },
      sum(({ in_flight }) => in_flight),
    );
    for (const one of [breaker, ...Object.values(pool)]) one.reset();
    for (const { key, action, state } of measured.open_breakers) breaker.set({ key, action }, state === "open" ? 2 : 1);
    for (const one of pools) {
      const label = { pool: one.name };
      pool.busy.set(label, one.in_flight);
      pool.drained.set(label, one.drained ? 1 : 0);
      for (const priority of ["high", "normal", "low"] as const)
        pool.pending.set({ ...label, priority }, one[priority]);
      if (one.max_in_flight === null) continue;
      pool.size.set(label, one.max_in_flight);
      pool.idle.set(label, Math.max(0, one.max_in_flight - one.in_flight));
    }
  }

  function showCensus(counted: Census): void {
    for (const state of BREAKER_STATES) breakers.set({ state }, counted.breakers.get(state) ?? 0);
    trips.reset();
    for (const [action, count] of counted.trips) trips.set({ action }, count);
  }

  let counted_at = Number.NEGATIVE_INFINITY;
  async function readDatabase(): Promise<void> {
    showMeasurements(await deps.database.transaction(measure));
    const now = deps.clock.monotonic();
    if (now - counted_at < CENSUS_MS) return;
    showCensus(await deps.database.transaction(census));
    counted_at = now;
  }

  async function readQueues(): Promise<void> {
    if (queueDepths === undefined) return;
    const actions = deps.actions().list();
    const work = new Map(
      actions.map(({ name, version }) => [names(deps.prefix).queue.work(name, version), { name, version }]),
    );
    const dead_queues = new Map(
      buildTopology(deps.prefix, actions)
        .queues.map(({ name }) => name)
        .filter((name) => !name.endsWith(".dead"))
        .map((name) => [deadQueue(name), name.slice(deps.prefix.length + 1)]),
    );
    const depths = await queueDepths([...work.keys(), ...dead_queues.keys()]);
    for (const one of [messages, consumers, dead]) one.reset();
    for (const [queue, depth] of depths) {
      const action = work.get(queue);
      const label = { action: action?.name ?? "", version: String(action?.version) };
      if (action === undefined) dead.set({ queue: dead_queues.get(queue)! }, depth.messages);
      else messages.set(label, depth.messages);
      if (action !== undefined) consumers.set(label, depth.consumers);
    }
  }

  // What cannot be read now keeps what it was, and hides nothing else: a scrape is most wanted when something is away.
  return async () => {
    const results = await Promise.allSettled([readDatabase(), readQueues()]);
    for (const result of results) {
      if (result.status === "rejected") deps.logger.warn({ err: result.reason }, "some figures cannot be read");
    }
  };
}
