import { takeOverExpiredLease } from "../database/leases.ts";
import type { Deps } from "../deps.ts";
import { publishLease } from "./publish-lease.ts";

/** Most leases of others taken over by one call: each is a batch. */
const LEASES = 20;

/** Publishes again what instances that crashed, stood still or were cut off had been handing over. Same ids. */
export async function recoverLeases(deps: Deps): Promise<number> {
  let recovered = 0;
  // While the broker is away a take-over would only push the expiry on.
  while (recovered < LEASES && deps.publisher.ready) {
    const lease = await deps.database.transaction((tx) => takeOverExpiredLease(tx, deps.instance));
    if (lease === null) break;
    deps.logger.warn({ lease: lease.id, runs: lease.runs.length }, "an expired lease is published again");
    await publishLease(deps, lease);
    recovered += 1;
  }
  return recovered;
}
