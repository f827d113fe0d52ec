import type { Action, Actions, Pool } from "../answers.ts";
import type { Client } from "../client.ts";
import type { FieldProblem } from "../failures.ts";
import type { ActionDefaults } from "./full-schedule.ts";

const EVERY_POOL = 1_000_000;

/** The actions and pools that the service knows, as far as files need them. */
export interface Contracts {
  /** What is filled in where a schedule says nothing; `{}` for an action that the service does not know. */
  defaultsOf(action: unknown, version: unknown): ActionDefaults;
  knowsPool(name: unknown): boolean;
  /** What the service would refuse. */
  check(action: string, version: number, payload: unknown): Promise<FieldProblem[]>;
}

export async function readContracts(client: Client): Promise<Contracts> {
  const { items } = await client.get<Actions>("/v1/actions");
  const pools = await client.list<Pool>("/v1/pools", {}, EVERY_POOL);
  const poolNames = new Set<unknown>(pools.items.map((pool) => pool.name));
  const find = (name: unknown, version: unknown) =>
    items.find((action) => action.name === name && action.version === (version ?? 1));
  // Compiled once for all the schedules of an action.
  const validators = new Map<Action, (payload: unknown) => readonly FieldProblem[]>();
  return {
    defaultsOf(name, version) {
      const action = find(name, version);
      if (action === undefined) return {};
      return { ...action.defaults, ...(action.pool === null ? {} : { pool: action.pool }) };
    },
    knowsPool: (name) => poolNames.has(name),
    async check(name, version, payload) {
      const action = find(name, version);
      if (action === undefined) return [unknownAction(items, name, version)];
      let validate = validators.get(action);
      if (validate === undefined) {
        // Loaded only here: a validator for JSON Schema is as large as the rest of the command line.
        const { compilePayloadSchema } = await import("../../contracts/payload-validator.ts");
        validate = compilePayloadSchema(action.schema);
        validators.set(action, validate);
      }
      return [...validate(payload)];
    },
  };
}

function unknownAction(items: readonly Action[], name: string, version: number): FieldProblem {
  const versions = items.filter((action) => action.name === name).map((action) => action.version);
  if (versions.length === 0) return { field: "action", message: `there is no action ${name}` };
  return { field: "action_version", message: `${name} has no version ${version}; it has ${versions.join(", ")}` };
}
