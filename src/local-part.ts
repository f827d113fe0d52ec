import type { Config } from "./config.ts";
import type { Deps } from "./deps.ts";
import type { LocalPart } from "./local-api.ts";
import type { Loops } from "./loops.ts";
import type { Broker } from "./messaging/broker.ts";
import { buildTopology } from "./messaging/topology.ts";
import { retain } from "./passes/retain.ts";
import { NotFound, Unavailable } from "./schedule/errors.ts";

/** What the API is told by the running instance itself. */
export function createLocalPart(deps: Deps, broker: Broker, config: Config, loops: () => Loops | null): LocalPart {
  const queues = () =>
    buildTopology(deps.prefix, deps.actions().list())
      .queues.map((queue) => queue.name)
      .filter((name) => !name.endsWith(".dead"));

  return {
    passes: () => loops()?.reports() ?? {},
    broker: () => broker.state(),
    queueDepths: broker.depths,
    listDeadLetters: (queue, limit) => {
      if (broker.state().consuming !== "connected") throw new Unavailable("the broker is away");
      return broker.deadLetters.list(queue === null ? queues() : [queue], limit);
    },
    async requeueDeadLetter(id, actor) {
      if (!broker.publisher.ready) throw new Unavailable("the broker is away");
      const requeued = await broker.deadLetters.requeue(id);
      if (requeued === null) throw new NotFound(`there is no dead letter ${JSON.stringify(id)}`);
      if (requeued.outcome !== "confirmed") throw new Unavailable(`the broker did not take it: ${requeued.outcome}`);
      deps.logger.info({ id, actor }, "a dead letter was handed to its queue again");
      return requeued.letter;
    },
    async cleanUpHistory(limits) {
      const retention = {
        days: limits.days ?? config.retention.days,
        audit_days: config.retention.audit_days,
        runs_per_schedule: limits.runs_per_schedule ?? config.retention.runs_per_schedule,
        interval_ms: 0,
      };
      let deleted = 0;
      for (;;) {
        const result = await retain(deps, retention, deleted === 0);
        deleted += result.deleted;
        if (!result.full) return { deleted };
      }
    },
  };
}
