import type { Tx } from "../database/connection.ts";
import { answerRequest, claimRequest, type RequestKey } from "../database/requests.ts";
import { viewRun } from "../database/run-queries.ts";
import type { RunRow } from "../database/schema.ts";
import { Conflict, InvalidInput } from "../schedule/errors.ts";

/** A run, and whether this request made it or an earlier one under the same key. */
export interface Triggered {
  readonly run: RunRow;
  readonly repeated: boolean;
}

/**
 * Makes a run once per key: the row that takes the key commits with the run it names. A request without a key is new.
 *
 * @param asked what is asked for; the same key with something else is refused
 * @throws InvalidInput on `idempotency_key` where the key was used for something else (422, as the IETF draft has it)
 * @throws Conflict where the run that the key names is no longer kept
 */
export async function once(
  tx: Tx,
  key: RequestKey | null,
  asked: { readonly schedule_name: string | null; readonly request: unknown },
  actor: string,
  make: () => Promise<RunRow>,
): Promise<Triggered> {
  if (key === null) return { run: await make(), repeated: false };
  const claimed = await claimRequest(tx, key, asked.schedule_name, asked.request, actor);
  if (claimed.repeated === null) {
    const run = await make();
    await answerRequest(tx, claimed.id, run.id);
    return { run, repeated: false };
  }
  const { run_id, same } = claimed.repeated;
  if (!same) {
    throw new InvalidInput([
      { field: "idempotency_key", message: "was used within the last 24 hours for a different request" },
    ]);
  }
  const run = run_id === null ? undefined : await viewRun(tx, run_id);
  if (run === undefined) throw new Conflict("the run of this idempotency key is no longer kept", { run_id });
  return { run, repeated: true };
}
