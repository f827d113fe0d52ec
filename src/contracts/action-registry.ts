import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FieldError } from "../schedule/errors.ts";
import { type ActionDefaults, type ActionDefinition, actionDefinition } from "./action-definition.ts";
import { check } from "./parse.ts";
import { compilePayloadSchema } from "./payload-validator.ts";

/** One version of what a consumer can do. */
export interface Action {
  readonly name: string;
  readonly version: number;
  readonly title: string | null;
  readonly description: string | null;
  /** `null`: the service's own triggers exchange. */
  readonly exchange: string | null;
  readonly routing_key: string;
  readonly queue: { readonly type: "quorum" } | { readonly type: "classic"; readonly max_priority: number };
  readonly pool: string | null;
  readonly breaker: { readonly key: string; readonly threshold: number; readonly cooldown_seconds: number } | null;
  readonly defaults: ActionDefaults;
  readonly schema: object;
  /** `[]` when the payload keeps its contract. */
  validatePayload(payload: unknown): FieldError[];
}

export interface ActionProblem {
  readonly action: string;
  readonly message: string;
}

/** The actions at one moment. Immutable; a reload makes a new one. */
export interface ActionRegistry {
  /** Contracts that could not be read; every other action goes on. */
  readonly problems: readonly ActionProblem[];
  /** Every version of every action, by name and version. */
  list(): readonly Action[];
  /** This version, or the latest. */
  find(name: string, version?: number): Action | undefined;
}

/** No actions: what the service starts from. */
export const noActions: ActionRegistry = createRegistry(new Map(), []);

/**
 * Reads `<directory>/actions/<action>/action.json` and its `v<n>.schema.json`. A contract that is broken is reported
 * in `problems`, and keeps the entry it had in `previous`: a bad edit must not stop an action that works.
 * Rejects only when the directory itself cannot be read.
 */
export async function loadActions(directory: string, previous: ActionRegistry = noActions): Promise<ActionRegistry> {
  const home = join(directory, "actions");
  const folders = (await readdir(home, { withFileTypes: true }))
    // A mounted ConfigMap is made of symbolic links.
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith("."))
    .map((entry) => entry.name)
    .sort();
  const actions = new Map<string, Action[]>();
  const problems: ActionProblem[] = [];
  const routes = new Map<string, string>();
  for (const folder of folders) {
    try {
      const versions = await readAction(join(home, folder), folder);
      for (const version of versions) claimRoute(routes, version);
      actions.set(folder, versions);
    } catch (error) {
      const kept = previous.list().filter((action) => action.name === folder);
      if (kept.length > 0) actions.set(folder, kept);
      const message = error instanceof Error ? error.message : String(error);
      problems.push({
        action: folder,
        message: kept.length > 0 ? `${message} (the previous contract stays)` : message,
      });
    }
  }
  return createRegistry(actions, problems);
}

async function readAction(folder: string, name: string): Promise<Action[]> {
  const definition = check(actionDefinition, await readJson(folder, "action.json"), "");
  if (!definition.ok) throw new Error(`action.json: ${definition.reason}`);
  const { value } = definition;
  if (value.name !== name)
    throw new Error(`action.json: name: expected the folder's name, ${name}, found ${value.name}`);
  if (value.versions.length > 1 && value.routing_key && !value.routing_key.includes("{version}")) {
    throw new Error("action.json: routing_key: must contain {version}, or every version's queue gets every trigger");
  }
  const versions = [...value.versions].sort((a, b) => a - b);
  return Promise.all(versions.map((version) => readVersion(folder, value, version)));
}

/** Two queues bound by one key would both get every trigger of either action. */
function claimRoute(routes: Map<string, string>, { name, version, exchange, routing_key }: Action): void {
  const route = JSON.stringify([exchange, routing_key]);
  const owner = routes.get(route);
  if (owner !== undefined) throw new Error(`action.json: routing_key: ${routing_key} is that of ${owner} already`);
  routes.set(route, `${name} v${version}`);
}

async function readVersion(folder: string, definition: ActionDefinition, version: number): Promise<Action> {
  const file = `v${version}.schema.json`;
  const schema = await readJson(folder, file);
  if (typeof schema !== "object" || schema === null) throw new Error(`${file}: expected a JSON Schema object`);
  try {
    return Object.freeze({
      name: definition.name,
      version,
      title: definition.title ?? null,
      description: definition.description ?? null,
      exchange: definition.exchange ?? null,
      routing_key: (definition.routing_key ?? `${definition.name}.v{version}`).replaceAll("{version}", String(version)),
      queue: definition.queue ?? { type: "quorum" as const },
      pool: definition.pool ?? null,
      breaker: definition.breaker ?? null,
      defaults: definition.defaults ?? {},
      schema,
      validatePayload: compilePayloadSchema(schema),
    });
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readJson(folder: string, file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(join(folder, file), "utf8");
  } catch (error) {
    throw new Error(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: not valid JSON (${error instanceof Error ? error.message : String(error)})`);
  }
}

function createRegistry(
  actions: ReadonlyMap<string, readonly Action[]>,
  problems: readonly ActionProblem[],
): ActionRegistry {
  const all = Object.freeze([...actions.values()].flat());
  return Object.freeze({
    problems: Object.freeze(problems),
    list: () => all,
    find(name: string, version?: number) {
      const versions = actions.get(name);
      return version === undefined ? versions?.at(-1) : versions?.find((action) => action.version === version);
    },
  });
}
