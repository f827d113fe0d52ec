import { admitProbes, releasableBreakers, releaseHeld } from "../database/held-runs.ts";
import type { Deps } from "../deps.ts";

/** Breakers looked at by one transaction. */
const BREAKERS = 50;

/** Lets go what these closed breakers hold: a first helping, supervise does the rest. */
export async function releaseBreakers(deps: Deps, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  const released = await deps.database.transaction((tx) => releaseHeld(tx, keys.slice(0, BREAKERS)));
  if (released.length > 0) deps.wake("dispatch");
  deps.wake("supervise");
}

/**
 * Looks after the circuit breakers: those whose cooldown is over send out a probe, and what is held by one that is closed
 * (reset by hand, or its release was lost) goes. Answers whether there is more to do at once.
 */
export async function probe(deps: Deps): Promise<boolean> {
  const probes = await deps.database.transaction((tx) => admitProbes(tx, BREAKERS));
  const released = await deps.database.transaction(async (tx) => {
    const keys = await releasableBreakers(tx, BREAKERS);
    return keys.length === 0 ? [] : releaseHeld(tx, keys);
  });
  if (probes.released || released.length > 0) deps.wake("dispatch");
  return probes.breakers === BREAKERS || released.length > 0;
}
