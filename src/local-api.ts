import { scheduleId } from "./commands/find-schedule.ts";
import { listInstances, schedulerStatus } from "./database/scheduler-status.ts";
import { statistics } from "./database/statistics.ts";
import { databaseNow } from "./database/supervision.ts";
import type { Deps } from "./deps.ts";
import type { Api, BrokerRecord, DeadLetter, InstanceRecord, PassReport } from "./http/api.ts";
import type { Broker } from "./messaging/broker.ts";
import { names, triggerRoute } from "./messaging/topology.ts";
import { InvalidInput, Unavailable } from "./schedule/errors.ts";

/** What only the running instance can say or do. app.ts hands it in. */
export interface LocalPart {
  readonly passes: () => Readonly<Record<string, PassReport>>;
  readonly broker: () => BrokerRecord;
  /** How many messages lie in queues and who consumes them; those the broker cannot say anything about are left out. */
  readonly queueDepths: Broker["depths"];
  /** Dead letters of one queue, or of all. @throws Unavailable */
  readonly listDeadLetters: (queue: string | null, limit: number) => Promise<readonly DeadLetter[]>;
  /** @throws NotFound, Unavailable */
  readonly requeueDeadLetter: (id: string, actor: string) => Promise<DeadLetter>;
  /** Deletes history beyond these limits, or the configured ones, and answers how many runs. */
  readonly cleanUpHistory: (limits: {
    readonly days?: number | undefined;
    readonly runs_per_schedule?: number | undefined;
  }) => Promise<{ readonly deleted: number }>;
}

type Part = Pick<
  Api,
  "listActions" | "listDeadLetters" | "requeueDeadLetter" | "schedulerStatus" | "statistics" | "cleanUpHistory"
>;

/** An instance that has not been heard of for so long is taken to be gone, ms: three polls at their longest default. */
const ALIVE_MS = 90_000;
const DAY_MS = 86_400_000;

/** The part of the API that is about this instance and the broker. */
export function localApi(deps: Deps, local: Partial<LocalPart>): Part {
  const { database } = deps;
  return {
    async listActions() {
      const registry = deps.actions();
      const queueOf = ({ name, version }: { readonly name: string; readonly version: number }) =>
        names(deps.prefix).queue.work(name, version);
      const depths = await local.queueDepths?.(registry.list().map(queueOf));
      const actions = registry.list().map(({ validatePayload: _, ...action }) => {
        const name = queueOf(action);
        const depth = depths?.get(name) ?? null;
        return {
          ...action,
          ...triggerRoute(deps.prefix, action),
          queue: {
            name,
            type: action.queue.type,
            messages: depth?.messages ?? null,
            consumers: depth?.consumers ?? null,
          },
        };
      });
      return { actions, problems: registry.problems };
    },
    listDeadLetters: (queue, limit) => given(local.listDeadLetters)(queue, limit),
    requeueDeadLetter: (id, actor) => given(local.requeueDeadLetter)(id, actor),
    schedulerStatus: async () => {
      const { status, instances } = await database.transaction(async (tx) => ({
        status: await schedulerStatus(tx),
        instances: await listInstances(tx),
      }));
      return {
        ...status,
        broker: local.broker?.() ?? null,
        instances: instances.map(
          (instance): InstanceRecord => ({
            ...instance,
            local: instance.id === deps.instance,
            alive: status.now - instance.last_seen_at < ALIVE_MS,
            passes:
              (instance.id === deps.instance && local.passes?.()) || (instance.passes as InstanceRecord["passes"]),
          }),
        ),
      };
    },
    statistics: (schedule, asked) =>
      database.transaction(async (tx) => {
        const id = schedule === null ? null : await scheduleId(tx, schedule);
        const to = asked.to ?? (await databaseNow(tx));
        const from = asked.from ?? to - DAY_MS;
        if (from > to) throw new InvalidInput([{ field: "from", message: "lies after to" }]);
        return { from, to, ...(await statistics(tx, id, { from, to })) };
      }),
    cleanUpHistory: async (limits) => given(local.cleanUpHistory)(limits),
  };
}

function given<Ask>(ask: Ask | undefined): Ask {
  if (ask === undefined) throw new Unavailable("this instance has not started yet");
  return ask;
}
