import { holdBehindBreakers } from "../database/breakers.ts";
import { claimPending, nextAvailableIn, poolsWithRoom } from "../database/dispatch.ts";
import { newLease, settleLease } from "../database/leases.ts";
import { dispatchHeld } from "../database/settings.ts";
import type { Deps } from "../deps.ts";
import { failpoint } from "../runtime/failpoint.ts";
import type { PassResult } from "../runtime/loop.ts";
import { publishLease } from "./publish-lease.ts";

/** Most runs handed over under one lease. */
const BATCH = 1_000;

export interface DispatchResult extends PassResult {
  readonly dispatched: number;
  /** Settles when the batch is with the broker or given up to its lease. Never rejects. */
  readonly published: Promise<void>;
}

const NOTHING = { dispatched: 0, published: Promise.resolve(), full: false };

/**
 * Hands pending runs to the broker: whatever fire could not hand over itself, because a pool was full, the broker away,
 * or the run is a retry, delayed, released or triggered by hand. While the broker is blocked or away nothing is claimed.
 */
export async function dispatch(deps: Deps, batch = BATCH): Promise<DispatchResult> {
  if (!deps.publisher.ready) return { ...NOTHING, next_in_ms: null };
  const lease = newLease(deps.instance);
  const { runs, full, next_in_ms } = await deps.database.transaction(async (tx) => {
    if (await dispatchHeld(tx)) return { runs: [], full: false, next_in_ms: null };
    const pools = await poolsWithRoom(tx);
    const found = await claimPending(tx, pools, batch, lease);
    const held = await holdBehindBreakers(tx, found);
    const claimed = found.filter((run) => !held.has(run.id));
    const ids = claimed.map((run) => run.id);
    if (held.size > 0) await settleLease(tx, lease.id, ids);
    const next = await nextAvailableIn(tx);
    if (claimed.length > 0) failpoint("dispatch_uncommitted");
    // Held ones make room for those behind them.
    return { runs: claimed, full: found.length === batch || held.size > 0, next_in_ms: next };
  });
  const [first] = runs;
  if (first === undefined) return { ...NOTHING, full, next_in_ms };
  return {
    dispatched: runs.length,
    published: publishLease(deps, { id: lease.id, now: first.now, runs }),
    full,
    next_in_ms,
  };
}
