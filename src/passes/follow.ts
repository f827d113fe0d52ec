import { countEnds } from "../counted.ts";
import type { Settlement } from "../database/settle-runs.ts";
import type { Deps } from "../deps.ts";
import { releaseBreakers } from "./probe.ts";
import { release } from "./release.ts";

/**
 * What follows from settled runs once they are committed: whoever has something to do is woken, and what waited for them
 * is released. A release that fails does not undo what was committed: supervise makes it good.
 */
export async function follow(deps: Deps, settlement: Settlement): Promise<void> {
  countEnds(deps, settlement);
  if (settlement.pending) deps.wake("dispatch");
  if (settlement.emitted) deps.wake("relay");
  if (settlement.breakers.opened) deps.wake("supervise");
  try {
    await release(deps, settlement.ended);
    await releaseBreakers(deps, settlement.breakers.closed);
  } catch (error) {
    deps.logger.warn({ err: error }, "what waited for ended runs is released later");
    deps.wake("supervise");
  }
}
