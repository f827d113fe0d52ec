import type { Logger } from "pino";
import type { TlsFiles } from "../access/tls.ts";
import type { Clock } from "../runtime/clock.ts";
import { type ConnectionState, superviseConnection } from "./connection.ts";
import { type ConsumeOptions, type Consumer, createConsumer } from "./consumer.ts";
import { createDeadLetterBox, type DeadLetterBox } from "./dead-letter-box.ts";
import type { TopologyProblem } from "./declare.ts";
import { createPublisher, type Publisher } from "./publisher.ts";
import { type QueueDepth, queueDepths } from "./queue-inspection.ts";
import type { Topology } from "./topology.ts";
import { keepTopology } from "./topology-keeper.ts";

export type { ConnectionState } from "./connection.ts";
export type { TopologyProblem } from "./declare.ts";

export interface BrokerState {
  readonly publishing: ConnectionState;
  readonly consuming: ConnectionState;
  readonly topology_declared: boolean;
  readonly topology_problems: readonly TopologyProblem[];
}

/** RabbitMQ as the service sees it. */
export interface Broker {
  readonly publisher: Publisher;
  /** Consumes from now on, through every reconnect, until stopped. */
  consume(options: ConsumeOptions): Consumer;
  /** Declares the topology as it is now; for a reload. Rejects when the connection is lost meanwhile. */
  redeclare(): Promise<readonly TopologyProblem[]>;
  state(): BrokerState;
  /** What waits in these queues; those that cannot be asked are missing from the answer. */
  depths(queues: readonly string[]): Promise<Map<string, QueueDepth>>;
  readonly deadLetters: DeadLetterBox;
  /** Stops the consumers and closes the connections; takes no longer than `timeout_ms`. */
  close(timeout_ms: number): Promise<void>;
}

export interface BrokerDeps {
  /** `amqp://` or `amqps://`. */
  readonly url: string;
  /** For `amqps://`. */
  readonly tls?: TlsFiles | undefined;
  /** TOPOLOGY_PREFIX. */
  readonly prefix: string;
  /** This process among its siblings. */
  readonly instance: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Asked at every declaration, so that a reload is followed. */
  readonly topology: () => Topology;
}

/** Two connections, because a resource alarm blocks only the one that publishes: answers are heard meanwhile. */
export function createBroker(deps: BrokerDeps): Broker {
  const { url, tls, prefix, instance, logger, clock } = deps;
  const publishing = superviseConnection({ url, tls, name: `${prefix} ${instance} publishing`, logger, clock });
  const consuming = superviseConnection({ url, tls, name: `${prefix} ${instance} consuming`, logger, clock });
  const topology = keepTopology({ connection: consuming, topology: deps.topology, logger });
  const publisher = createPublisher({ connection: publishing, topology, logger, clock });
  const consumers: Consumer[] = [];

  return {
    publisher,
    consume(options) {
      const consumer = createConsumer({ connection: consuming, topology, publisher, prefix, logger, clock }, options);
      consumers.push(consumer);
      return consumer;
    },
    redeclare: () => topology.redeclare(),
    depths: (queues) => queueDepths(consuming, queues),
    deadLetters: createDeadLetterBox(consuming, publisher),
    state: () => ({
      publishing: publishing.state,
      consuming: consuming.state,
      topology_declared: topology.declared,
      topology_problems: topology.problems,
    }),
    async close(timeout_ms) {
      const started = clock.monotonic();
      await Promise.all(consumers.map((consumer) => consumer.stop(timeout_ms)));
      const left = Math.max(100, timeout_ms - (clock.monotonic() - started));
      await Promise.all([publishing.close(left), consuming.close(left)]);
    },
  };
}
