import { receiveCommands, receiveSignals } from "./commands/receive.ts";
import type { Deps } from "./deps.ts";
import type { Broker } from "./messaging/broker.ts";
import { names } from "./messaging/topology.ts";
import { ingest } from "./passes/ingest.ts";
import { rejectTriggers } from "./passes/reject.ts";

/** Consumes what others send to the service. */
export function openInboxes(deps: Deps, broker: Broker): void {
  const { exchange, queue } = names(deps.prefix);
  broker.consume({
    queue: { name: queue.status },
    // Twice the batch keeps the next one ready; more than that, because updates of unknown runs are held for a minute.
    prefetch: 2_000,
    batch_size: 500,
    linger_ms: 25,
    handle: async (batch) => void (await ingest(deps, batch)),
  });
  broker.consume({
    queue: { name: queue.rejected_triggers },
    prefetch: 200,
    batch_size: 100,
    handle: async (batch) => void (await rejectTriggers(deps, batch)),
  });
  broker.consume({
    queue: { name: queue.commands },
    prefetch: 100,
    batch_size: 20,
    handle: (batch) => receiveCommands(deps, batch),
  });
  // A queue of its own for each instance and connection: every instance hears a reload.
  broker.consume({
    queue: {
      exclusive: (connection) => queue.reload(deps.instance, connection),
      bindings: [{ exchange: exchange.commands, routing_key: "schedules.#" }],
      dead_letters_of: queue.commands,
    },
    prefetch: 10,
    batch_size: 10,
    handle: (batch) => receiveCommands(deps, batch),
  });
  broker.consume({
    queue: { name: queue.channels },
    prefetch: 100,
    batch_size: 20,
    handle: (batch) => receiveSignals(deps, batch),
  });
}
