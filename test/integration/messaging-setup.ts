import { type Channel, type ChannelModel, connect } from "amqplib";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import type { Action } from "../../src/contracts/action-registry.ts";
import { type Broker, createBroker } from "../../src/messaging/broker.ts";
import type { Outgoing } from "../../src/messaging/outgoing.ts";
import { buildTopology, names, type Topology } from "../../src/messaging/topology.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createTestBroker } from "../support/broker.ts";
import { waitFor } from "../support/wait-for.ts";
import { type FrameProxy, startFrameProxy } from "./messaging-frame-proxy.ts";

export interface Setup {
  readonly url: string;
  readonly prefix: string;
  readonly name: ReturnType<typeof names>;
  /** The work queue of the one action there is, `job` version 1. */
  readonly queue: string;
  readonly topology: Topology;
  /** A connection beside the service's, to look and to interfere. */
  readonly admin: Channel;
  readonly adminConnection: ChannelModel;
  /** What was logged. */
  readonly log: { readonly level: number; readonly msg: string; readonly [field: string]: unknown }[];
  /** A broker under test, closed with the test. */
  start(url?: string, instance?: string): Broker;
  /** A proxy in front of RabbitMQ, closed with the test. */
  proxy(): Promise<FrameProxy>;
  /** Messages in a queue now. */
  count(queue: string): Promise<number>;
}

const job = { name: "job", version: 1, exchange: null, routing_key: "job.v1", queue: { type: "quorum" } } as Action;

export async function setUp(actions: readonly Action[] = [job]): Promise<Setup> {
  const { url, prefix, drop } = createTestBroker();
  const topology = buildTopology(prefix, actions);
  const adminConnection = await connect(url);
  adminConnection.on("error", () => undefined);
  const admin = await adminConnection.createChannel();
  admin.on("error", () => undefined);
  const log: Setup["log"] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void log.push(JSON.parse(line)) });
  // Last registered, first run: brokers and proxies are closed before their queues are deleted.
  onTestFinished(async () => {
    await adminConnection.close();
    const queues = topology.queues.map((queue) => queue.name);
    await drop({ queues, exchanges: topology.exchanges.map((exchange) => exchange.name) });
  });
  return {
    url,
    prefix,
    name: names(prefix),
    queue: names(prefix).queue.work("job", 1),
    topology,
    admin,
    adminConnection,
    log,
    start(at = url, instance = "test") {
      const broker = createBroker({ url: at, prefix, instance, logger, clock: systemClock, topology: () => topology });
      onTestFinished(() => broker.close(2_000));
      return broker;
    },
    async proxy() {
      const proxy = await startFrameProxy(url);
      onTestFinished(() => proxy.close());
      return proxy;
    },
    count: async (queue) => (await admin.checkQueue(queue)).messageCount,
  };
}

export const ready = (broker: Broker) =>
  waitFor(() => broker.publisher.ready, { describe: "the publisher to be ready", timeoutMs: 15_000 });

/** Messages for the work queue, their ids and bodies being 0, 1, 2 … */
export function jobs(setup: Setup, count: number, change: Partial<Outgoing> = {}): Outgoing[] {
  return Array.from({ length: count }, (_, index) => ({
    exchange: setup.name.exchange.triggers,
    routing_key: "job.v1",
    body: String(index),
    message_id: String(index),
    ...change,
  }));
}

/** Takes everything out of a queue, in order. */
export async function drain(setup: Setup, queue: string) {
  const messages = [];
  for (;;) {
    const message = await setup.admin.get(queue, { noAck: true });
    if (!message) return messages;
    messages.push(message);
  }
}

/** How often each outcome came. */
export function tally(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}
