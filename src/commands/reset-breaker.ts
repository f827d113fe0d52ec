import { type BreakerView, viewBreaker } from "../database/breaker-queries.ts";
import { resetBreaker as close } from "../database/breakers.ts";
import type { Deps } from "../deps.ts";
import { NotFound } from "../schedule/errors.ts";

/**
 * Closes a breaker by hand; what it held is let go.
 * @throws NotFound
 */
export async function resetBreaker(deps: Deps, key: string, actor: string): Promise<BreakerView> {
  const breaker = await deps.database.transaction(
    async (tx) => {
      if ((await close(tx, key)) === undefined) throw new NotFound(`there is no breaker ${JSON.stringify(key)}`);
      return (await viewBreaker(tx, key))!;
    },
    { actor },
  );
  deps.wake("supervise");
  return breaker;
}
