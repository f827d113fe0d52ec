import { type PoolView, putPool, setPoolDrained, viewPool } from "../database/pool-queries.ts";
import type { Deps } from "../deps.ts";
import { NotFound } from "../schedule/errors.ts";

/** Makes a pool, or changes how many of its runs may be in flight (null: any number). Obeyed at once, also downwards. */
export async function setPool(
  deps: Deps,
  name: string,
  maxInFlight: number | null,
  actor: string,
): Promise<{ readonly pool: PoolView; readonly created: boolean }> {
  const done = await deps.database.transaction(
    async (tx) => {
      const created = await putPool(tx, name, maxInFlight);
      return { pool: (await viewPool(tx, name))!, created };
    },
    { actor },
  );
  deps.wake("dispatch");
  if (done.created) deps.wake("plan");
  return done;
}

/**
 * Stops, or starts again, handing out the runs of a pool. What is in flight goes on.
 * @throws NotFound
 */
export async function drainPool(deps: Deps, name: string, drained: boolean, actor: string): Promise<PoolView> {
  const pool = await deps.database.transaction(
    async (tx) => {
      if (!(await setPoolDrained(tx, name, drained))) {
        throw new NotFound(`there is no pool ${JSON.stringify(name)}`);
      }
      return (await viewPool(tx, name))!;
    },
    { actor },
  );
  deps.wake("dispatch");
  return pool;
}
