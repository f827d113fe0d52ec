import { databaseNow } from "./database/supervision.ts";
import type { Deps } from "./deps.ts";
import type { Broker } from "./messaging/broker.ts";
import { names } from "./messaging/topology.ts";
import { ingest } from "./passes/ingest.ts";
import { rejectTriggers } from "./passes/reject.ts";

/** Consumes what others send to the service. */
export function openInboxes(deps: Deps, broker: Broker): void {
  const { queue } = names(deps.prefix);
  const ready = async () => void (await deps.database.transaction(databaseNow));
  broker.consume({
    queue: { name: queue.status },
    // Twice the batch keeps the next one ready; more than that, because updates of unknown runs are held for a minute.
    prefetch: 2_000,
    batch_size: 500,
    handle: async (batch) => void (await ingest(deps, batch)),
    ready,
  });
  broker.consume({
    queue: { name: queue.rejected_triggers },
    prefetch: 200,
    batch_size: 100,
    handle: async (batch) => void (await rejectTriggers(deps, batch)),
    ready,
  });
}
