import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { connect } from "amqplib";
import { inject } from "vitest";
import { loadActions } from "../../src/contracts/action-registry.ts";
import { buildTopology } from "../../src/messaging/topology.ts";

export interface TestBroker {
  readonly url: string;
  /** `TOPOLOGY_PREFIX` for this test alone. */
  readonly prefix: string;
  /**
   * Deletes what the service declares for these contracts under the prefix, and the queues and exchanges named. Queues
   * that a test declares for itself had better be exclusive.
   */
  drop(more?: { queues?: readonly string[]; exchanges?: readonly string[] }): Promise<void>;
}

const CONTRACTS = fileURLToPath(new URL("../../contracts", import.meta.url));

/**
 * The run's broker under names of one's own. A prefix rather than a virtual host, because it needs no rights on the
 * broker beyond those the service has.
 */
export function createTestBroker(contractsDirectory = CONTRACTS): TestBroker {
  const url = inject("amqpUrl");
  const prefix = `pw-${inject("runId")}-${randomBytes(3).toString("hex")}`;
  return {
    url,
    prefix,
    async drop({ queues = [], exchanges = [] } = {}) {
      const topology = buildTopology(prefix, (await loadActions(contractsDirectory)).list());
      const ours = (name: string) => name.startsWith(prefix);
      const connection = await connect(url);
      const channel = await connection.createChannel();
      // Deleting what is not there is no error in AMQP, so nothing needs to be known about how far the test came.
      const names = [...topology.queues.map((queue) => queue.name).filter(ours), ...queues];
      await Promise.all(names.map((name) => channel.deleteQueue(name)));
      const exchangeNames = [...topology.exchanges.map((exchange) => exchange.name).filter(ours), ...exchanges];
      await Promise.all(exchangeNames.map((name) => channel.deleteExchange(name)));
      await connection.close();
    },
  };
}
