import type { Action } from "../contracts/action-registry.ts";

export interface ExchangeDeclaration {
  readonly name: string;
  readonly type: "topic";
  /** `false`: an action's own exchange, used as it is where it exists and made only where it does not. */
  readonly ours: boolean;
}

export interface QueueDeclaration {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number>>;
}

export interface Binding {
  readonly queue: string;
  readonly exchange: string;
  readonly routing_key: string;
}

/** Everything the service declares, as data. */
export interface Topology {
  readonly exchanges: readonly ExchangeDeclaration[];
  readonly queues: readonly QueueDeclaration[];
  readonly bindings: readonly Binding[];
}

/** The names on the wire that other people's programs depend on. */
export function names(prefix: string) {
  return {
    exchange: {
      triggers: `${prefix}.triggers`,
      status: `${prefix}.status`,
      commands: `${prefix}.commands`,
      control: `${prefix}.control`,
      events: `${prefix}.events`,
      channels: `${prefix}.channels`,
      dead_letters: `${prefix}.dead-letters`,
    },
    queue: {
      status: `${prefix}.status`,
      commands: `${prefix}.commands`,
      channels: `${prefix}.channels`,
      rejected_triggers: `${prefix}.rejected-triggers`,
      work: (action: string, version: number) => `${prefix}.work.${action}.v${version}`,
      reload: (instance: string, connection: number) => `${prefix}.reload.${instance}.${connection}`,
    },
  } as const;
}

/** The queue that keeps what `queue` could not handle. */
export function deadQueue(queue: string): string {
  return `${queue}.dead`;
}

/** Where an action's triggers are published. */
export function triggerRoute(prefix: string, action: Pick<Action, "exchange" | "routing_key">) {
  return { exchange: action.exchange ?? names(prefix).exchange.triggers, routing_key: action.routing_key };
}

// The queues' own limit must never act: disconnects count as deliveries, attempts are counted in Postgres. Explicit,
// because 4.x has a default of 20, and not -1, because 3.10 drops at the first redelivery then.
const NO_DELIVERY_LIMIT = 2_000_000_000;
// A consumer that dies five times over one trigger is killed by it.
const WORK_DELIVERY_LIMIT = 5;
const MOST_DEAD_LETTERS = 100_000;

/** The exchanges, queues and bindings for these actions. */
export function buildTopology(prefix: string, actions: readonly Action[]): Topology {
  const { exchange, queue } = names(prefix);
  const exchanges = new Map<string, ExchangeDeclaration>();
  const queues: QueueDeclaration[] = [];
  const bindings: Binding[] = [];
  for (const name of Object.values(exchange)) exchanges.set(name, { name, type: "topic", ours: true });

  /** A queue with its dead letters. */
  const add = (name: string, own: Record<string, string | number>, from: string, routing_key: string) => {
    const dead = deadQueue(name);
    queues.push({
      name,
      arguments: { ...own, "x-dead-letter-exchange": exchange.dead_letters, "x-dead-letter-routing-key": name },
    });
    queues.push({
      name: dead,
      arguments: {
        "x-queue-type": "quorum",
        "x-max-length": MOST_DEAD_LETTERS,
        // Listing dead letters takes and returns them, which counts as a delivery.
        "x-delivery-limit": NO_DELIVERY_LIMIT,
      },
    });
    bindings.push({ queue: name, exchange: from, routing_key });
    bindings.push({ queue: dead, exchange: exchange.dead_letters, routing_key: name });
  };

  const ours = { "x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT };
  add(queue.status, ours, exchange.status, "#");
  add(queue.commands, ours, exchange.commands, "run.#");
  add(queue.channels, ours, exchange.channels, "#");
  // A second copy of every dead trigger, for the service: its attempt has failed.
  add(queue.rejected_triggers, ours, exchange.dead_letters, `${prefix}.work.#`);
  for (const action of actions) {
    const route = triggerRoute(prefix, action);
    if (!exchanges.has(route.exchange)) {
      exchanges.set(route.exchange, { name: route.exchange, type: "topic", ours: false });
    }
    const kind =
      action.queue.type === "classic"
        ? { "x-queue-type": "classic", "x-max-priority": action.queue.max_priority }
        : { "x-queue-type": "quorum", "x-delivery-limit": WORK_DELIVERY_LIMIT };
    add(queue.work(action.name, action.version), kind, route.exchange, route.routing_key);
  }
  return { exchanges: [...exchanges.values()], queues, bindings };
}
