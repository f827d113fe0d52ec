import type { Logger } from "pino";
import type { ActionProblem, ActionRegistry } from "./contracts/action-registry.ts";
import type { Database } from "./database/connection.ts";
import type { Publisher } from "./messaging/publisher.ts";
import type { Clock } from "./runtime/clock.ts";
import type { Metrics } from "./runtime/metrics.ts";

/** What every pass and command may use. Small on purpose; app.ts makes one, tests make their own. */
export interface Deps {
  readonly database: Database;
  readonly publisher: Publisher;
  /** The registry in force; a reload replaces it, so it is asked for each time. */
  readonly actions: () => ActionRegistry;
  /** Reads the contracts again and puts them in force; answers what could not be read. */
  readonly reloadActions: () => Promise<readonly ActionProblem[]>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** This process among its siblings. */
  readonly instance: string;
  /** TOPOLOGY_PREFIX. */
  readonly prefix: string;
  /** Runs a pass's loop again as soon as possible. */
  readonly wake: (pass: PassName) => void;
}

export type PassName =
  | "plan"
  | "fire"
  | "dispatch"
  | "relay"
  | "supervise"
  | "expand"
  | "answer_requests"
  | "declare"
  | "retain";
