import { type InstanceReport, nextDeadlineIn, noteInstance } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import type { PassResult } from "../runtime/loop.ts";
import { actOnCancels } from "./cancel.ts";
import { expire } from "./expire.ts";
import { probe } from "./probe.ts";
import { recoverLeases } from "./recover-leases.ts";
import { releaseAll } from "./release.ts";

/** How long a run that cannot be judged yet is left alone before it is looked at again, ms. */
const UNJUDGED_MS = 1_000;

export interface SuperviseResult extends PassResult {
  readonly recovered: number;
  readonly cancelled: number;
  readonly expired: number;
}

/**
 * Looks after what nobody else does: leases whose holder is gone, flags that ask for a cancel, deadlines, breakers, waiting
 * runs whose wake-up was lost. Also this instance's sign of life.
 */
export async function supervise(deps: Deps, report: InstanceReport): Promise<SuperviseResult> {
  await deps.database.transaction((tx) => noteInstance(tx, report));
  const recovered = await recoverLeases(deps);
  const cancelled = await actOnCancels(deps);
  const expired = await expire(deps);
  const probing = await probe(deps);
  await releaseAll(deps);
  const next = await deps.database.transaction((tx) => nextDeadlineIn(tx));
  // Past deadlines that could not be acted on (unjudged, or a lease while the broker is away) must not make this spin.
  const next_in_ms = next === null ? null : Math.max(next, UNJUDGED_MS);
  const full = expired.full || probing || cancelled > 0;
  return { recovered, cancelled, expired: expired.ended, full, next_in_ms };
}
