import type { Instant } from "../schedule/instant.ts";
import { type Conditions, conditions, containing } from "./conditions.ts";
import { addLabels, type LabelFilter } from "./labelled-schedules.ts";

export interface RunFilter extends LabelFilter {
  readonly status?: readonly string[] | undefined;
  readonly status_reason?: readonly string[] | undefined;
  readonly action?: readonly string[] | undefined;
  readonly schedule_id?: string | undefined;
  readonly schedule_ids?: readonly string[] | undefined;
  readonly trigger_type?: readonly string[] | undefined;
  readonly priority?: readonly number[] | undefined;
  readonly pool?: readonly string[] | undefined;
  readonly target?: string | undefined;
  readonly parent_run_id?: string | undefined;
  /** Children among the others; otherwise only what has no parent. */
  readonly children?: boolean | undefined;
  /** Nominal instants from this one on. */
  readonly from?: Instant | undefined;
  /** Nominal instants before this one. */
  readonly to?: Instant | undefined;
  readonly text?: string | undefined;
}

/** The conditions on a run `r`, but for those on its id. */
export function filtered(filter: RunFilter): Conditions {
  const where = conditions();
  if (filter.status !== undefined) where.add("r.status = ANY($?)", filter.status);
  if (filter.status_reason !== undefined) where.add("r.status_reason = ANY($?)", filter.status_reason);
  if (filter.action !== undefined) where.add("r.action = ANY($?)", filter.action);
  if (filter.schedule_id !== undefined) where.add("r.schedule_id = $?", filter.schedule_id);
  if (filter.schedule_ids !== undefined) where.add("r.schedule_id = ANY($?::uuid[])", filter.schedule_ids);
  if (filter.trigger_type !== undefined) where.add("r.trigger_type = ANY($?)", filter.trigger_type);
  if (filter.priority !== undefined) where.add("r.priority = ANY($?)", filter.priority);
  if (filter.pool !== undefined) where.add("r.pool = ANY($?)", filter.pool);
  if (filter.target !== undefined) where.add("r.target = $?", filter.target);
  if (filter.parent_run_id !== undefined) where.add("r.parent_run_id = $?", filter.parent_run_id);
  else where.add(filter.children === true ? "true" : "r.parent_run_id IS NULL", null);
  addLabels(where, filter, (labelled) => `r.schedule_id IN (SELECT s.id FROM schedules s WHERE ${labelled})`);
  if (filter.text !== undefined) {
    where.add("r.schedule_name ILIKE $? OR r.error_message ILIKE $? OR r.target ILIKE $?", containing(filter.text));
  }
  return where;
}
