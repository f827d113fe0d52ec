import type { Logger } from "pino";
import type { SupervisedConnection } from "./connection.ts";
import { declareTopology, type TopologyProblem } from "./declare.ts";
import type { Topology } from "./topology.ts";
import { untilAborted } from "./until-aborted.ts";

/** The topology on the broker: declared on every new connection, and again when asked. */
export interface TopologyKeeper {
  /** Whether it has been declared since the connection was made; `problems` notwithstanding. */
  readonly declared: boolean;
  /** What the last declaration could not do. */
  readonly problems: readonly TopologyProblem[];
  onChange(listener: () => void): () => void;
  /** Resolves once it is declared, or when the signal aborts. */
  whenDeclared(signal: AbortSignal): Promise<void>;
  /** Declares it as it is now. Rejects when the connection is lost meanwhile. */
  redeclare(): Promise<readonly TopologyProblem[]>;
}

export interface TopologyKeeperDeps {
  /** The consuming connection: a resource alarm would keep the publishing one waiting. */
  readonly connection: SupervisedConnection;
  readonly topology: () => Topology;
  readonly logger: Logger;
}

export function keepTopology({ connection, topology, logger }: TopologyKeeperDeps): TopologyKeeper {
  const listeners = new Set<() => void>();
  let declared = false;
  let problems: readonly TopologyProblem[] = [];
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<readonly TopologyProblem[]> | null = null;

  function become(next: boolean): void {
    if (declared === next) return;
    declared = next;
    for (const listener of [...listeners]) listener();
  }

  async function declareNow(): Promise<readonly TopologyProblem[]> {
    const { link } = connection;
    if (!link) return [{ entity: "connection", code: null, message: "not connected; declared once it is" }];
    problems = await declareTopology(link, topology());
    for (const problem of problems) logger.error(problem, "cannot declare a part of the topology");
    if (!link.lost.aborted) become(true);
    return problems;
  }

  /** One declaration at a time. Whoever asks while one runs gets the next, which sees the topology of then. */
  function redeclare(): Promise<readonly TopologyProblem[]> {
    waiting ??= running.then(() => {
      waiting = null;
      const declaration = declareNow();
      running = declaration.catch(() => undefined);
      return declaration;
    });
    return waiting;
  }

  connection.onChange(() => {
    if (!connection.link) become(false);
  });
  connection.hold("topology", async ({ lost }) => {
    await redeclare();
    await untilAborted(lost);
  });

  return {
    get declared() {
      return declared;
    },
    get problems() {
      return problems;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async whenDeclared(signal) {
      if (declared || signal.aborted) return;
      await new Promise<void>((resolve) => {
        const settle = () => {
          listeners.delete(settle);
          signal.removeEventListener("abort", settle);
          resolve();
        };
        listeners.add(settle);
        signal.addEventListener("abort", settle);
      });
    },
    redeclare,
  };
}
