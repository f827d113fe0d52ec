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
 * runs whose wake-up was lost. Also this instance's sign of life. What fails in one of them does not keep the others from
 * their turn; it is thrown at the end.
 */
export async function supervise(deps: Deps, report: InstanceReport): Promise<SuperviseResult> {
  const failures: unknown[] = [];
  const attempt = <Value>(work: () => Promise<Value>, otherwise: Value): Promise<Value> =>
    work().catch((error: unknown) => {
      failures.push(error);
      return otherwise;
    });
  await attempt(() => deps.database.transaction((tx) => noteInstance(tx, report)), undefined);
  const recovered = await attempt(() => recoverLeases(deps), 0);
  const cancelled = await attempt(() => actOnCancels(deps), 0);
  const expired = await attempt(() => expire(deps), { ended: 0, full: false });
  const probing = await attempt(() => probe(deps), false);
  await attempt(() => releaseAll(deps), undefined);
  if (failures.length > 0) throw failures[0];
  const next = await deps.database.transaction((tx) => nextDeadlineIn(tx));
  // Past deadlines that could not be acted on (unjudged, or a lease while the broker is away) must not make this spin.
  const next_in_ms = Math.max(next, UNJUDGED_MS);
  const full = expired.full || probing || cancelled > 0;
  return { recovered, cancelled, expired: expired.ended, full, next_in_ms };
}
