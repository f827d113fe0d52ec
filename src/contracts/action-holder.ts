import { type ActionProblem, type ActionRegistry, loadActions, noActions } from "./action-registry.ts";

/** The registry in force, and the way to replace it. */
export interface ActionHolder {
  current(): ActionRegistry;
  /** Reads the contracts again; answers what could not be read. Rejects where the directory itself cannot be. */
  reload(): Promise<readonly ActionProblem[]>;
}

export function holdActions(directory: string): ActionHolder {
  let registry = noActions;
  return {
    current: () => registry,
    async reload() {
      registry = await loadActions(directory, registry);
      return registry.problems;
    },
  };
}
