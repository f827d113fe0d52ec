import { setSetting } from "../database/settings.ts";
import type { Deps } from "../deps.ts";

/**
 * Stops, or starts again, handing runs to the broker, on every instance. Meanwhile what is due goes on being recorded, and
 * what is in flight goes on.
 */
export async function drainScheduler(deps: Deps, drained: boolean, actor: string): Promise<void> {
  await deps.database.transaction((tx) => setSetting(tx, "drained", drained), { actor });
  deps.wake("dispatch");
}
