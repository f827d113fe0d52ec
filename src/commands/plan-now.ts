import type { Tx } from "../database/connection.ts";
import { makePlans } from "../database/plan-schedules.ts";
import { inWords, lockScheduleToPlan, writePlans } from "../database/planning.ts";
import type { Deps } from "../deps.ts";
import { InvalidInput } from "../schedule/errors.ts";

/**
 * Validates and plans a schedule that this transaction has written, so that whoever asked learns at once what the plan pass
 * would say later. A problem that was there before is no reason to refuse an edit that is about something else (disabling
 * a schedule whose action is gone, say): it stays, and the edit is kept.
 * @throws InvalidInput on the columns at fault
 */
export async function planNow(deps: Deps, tx: Tx, id: string): Promise<void> {
  const schedule = await lockScheduleToPlan(tx, id);
  if (schedule === undefined) return;
  const [made] = await makePlans(tx, deps.actions(), [schedule]);
  const { errors } = made!.plan;
  if (errors.length > 0 && inWords(errors) !== schedule.problem) throw new InvalidInput(errors);
  await writePlans(tx, [made!]);
}
