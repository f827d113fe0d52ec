import { Gauge } from "prom-client";
import { measure } from "./database/measurements.ts";
import { listPools } from "./database/pool-queries.ts";
import { schedulerStatus } from "./database/scheduler-status.ts";
import type { Deps } from "./deps.ts";
import { names } from "./messaging/topology.ts";

/** How many messages lie in a queue and who consumes it; null where the broker cannot say. */
type QueueDepth = (queue: string) => Promise<{ readonly messages: number; readonly consumers: number } | null>;

const MOST_POOLS = 1_000;

/**
 * Figures about the state of things, read when somebody asks for the metrics: nothing is counted while nobody looks. They are
 * those of all instances together, so that one scrape is enough, and a sum over instances would be wrong.
 */
export function createGauges(deps: Deps, queueDepth: QueueDepth | undefined): () => Promise<void> {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `pocketwatch_${name}`, help, labelNames, registers: [deps.metrics.registry] });
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

  async function readDatabase(): Promise<void> {
    const { status, pools, measured } = await deps.database.transaction(async (tx) => ({
      status: await schedulerStatus(tx),
      pools: await listPools(tx, "", MOST_POOLS),
      measured: await measure(tx),
    }));
    const since = (instant: number | null) => (instant === null ? 0 : Math.max(0, status.now - instant) / 1_000);
    overdue.set(since(status.oldest_due_at));
    oldest.set(since(status.oldest_pending_at));
    drained.set(status.drained ? 1 : 0);
    leases.set(status.leases);
    outbox.set(status.outbox);
    runs.set({ status: "waiting" }, status.waiting);
    runs.set({ status: "pending" }, status.pending);
    runs.set({ status: "in_flight" }, status.in_flight);
    for (const one of [schedules, breakers, breaker, trips, ...Object.values(pool)]) one.reset();
    for (const [state, count] of measured.schedules) schedules.set({ state }, count);
    for (const [state, count] of measured.breakers) breakers.set({ state }, count);
    for (const [action, count] of measured.trips) trips.set({ action }, count);
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

  async function readQueues(): Promise<void> {
    if (queueDepth === undefined) return;
    messages.reset();
    consumers.reset();
    for (const { name, version } of deps.actions().list()) {
      const depth = await queueDepth(names(deps.prefix).queue.work(name, version));
      if (depth === null) continue;
      const label = { action: name, version: String(version) };
      messages.set(label, depth.messages);
      consumers.set(label, depth.consumers);
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
