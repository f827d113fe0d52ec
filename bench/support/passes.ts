import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { type ActionRegistry, loadActions } from "../../src/contracts/action-registry.ts";
import { connect, type Database } from "../../src/database/connection.ts";
import { ensurePools } from "../../src/database/pools.ts";
import type { Deps } from "../../src/deps.ts";
import type { FireResult } from "../../src/passes/fire.ts";
import { fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { Outlook } from "../../src/passes/outlook.ts";
import { plan } from "../../src/passes/plan.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { PREFIX } from "./service.ts";

const CONTRACTS = fileURLToPath(new URL("../../contracts", import.meta.url));

export interface Passes {
  readonly deps: Deps;
  readonly database: Database;
  close(): Promise<void>;
}

/**
 * What the passes need, in this process and without loops, so that one pass can be timed. The broker is a publisher that
 * confirms everything at once: what is compared is a database with another, and a broker's noise would cover it.
 */
export async function openPasses(url: string): Promise<Passes> {
  const logger = pino({ level: "warn" }, pino.destination(2));
  const database = connect({ url, logger });
  const registry: ActionRegistry = await loadActions(CONTRACTS);
  await database.transaction((tx) =>
    ensurePools(
      tx,
      registry.list().flatMap((action) => action.pool ?? []),
    ),
  );
  const deps: Deps = {
    database,
    publisher: {
      ready: true,
      onChange: () => () => {},
      publish: async (messages) => messages.map(() => "confirmed" as const),
    },
    actions: () => registry,
    reloadActions: async () => [],
    clock: systemClock,
    logger,
    metrics: createMetrics(),
    instance: "bench",
    prefix: PREFIX,
    wake: () => {},
  };
  return { deps, database, close: () => database.close() };
}

/** Waits for a fire pass and what it publishes; it must have fired so many. */
export async function allFired(pass: Promise<FireResult>, due: number): Promise<void> {
  const { fired, published } = await pass;
  await published;
  if (fired !== due) throw new Error(`${fired} of ${due} schedules fired`);
}

/** Ample time to look ahead. */
export const AHEAD_MS = 500;

/** What the service has done by the instant of schedules that are due within `AHEAD_MS`. */
export async function lookedAhead(deps: Deps): Promise<Outlook> {
  const outlook = new Outlook();
  let result = await fireOnTime(deps, outlook);
  while (result.full) result = await fireOnTime(deps, outlook);
  await sleep(result.next_in_ms! + 2);
  return outlook;
}

/** Plans everything that waits for it. */
export async function planAll(deps: Deps): Promise<void> {
  while ((await plan(deps)).full);
}

export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
