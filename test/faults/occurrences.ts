import type { ExpectedSchedule } from "./plan.ts";

export interface RunRecord {
  readonly id: string;
  readonly schedule: string | null;
  readonly parent_run_id: string | null;
  readonly target: string | null;
  readonly status: string;
  readonly status_reason: string | null;
  readonly attempt: number;
  readonly trigger_type: string;
  readonly child_total: number | null;
  readonly result: { readonly first?: string; readonly last?: string } | null;
  readonly metrics: Record<string, number> | null;
  readonly scheduled_for: number;
}

/** An occurrence that must have happened. */
export interface Due {
  readonly schedule: string;
  readonly at: number;
}

/** Every occurrence has exactly one run, or is in exactly one row that says it was missed; and nothing else ran. */
export function occurrenceFaults(expected: readonly ExpectedSchedule[], runs: readonly RunRecord[], others: boolean) {
  const faults: string[] = [];
  const missing: Due[] = [];
  const bySchedule = new Map<string, RunRecord[]>();
  for (const run of runs) {
    if (run.trigger_type !== "scheduled" || run.parent_run_id !== null) continue;
    bySchedule.set(run.schedule ?? "", [...(bySchedule.get(run.schedule ?? "") ?? []), run]);
  }
  const children = new Map<string, RunRecord[]>();
  for (const run of runs) {
    if (run.parent_run_id !== null) children.set(run.parent_run_id, [...(children.get(run.parent_run_id) ?? []), run]);
  }
  for (const { name, due, targets } of expected) {
    const own = bySchedule.get(name) ?? [];
    bySchedule.delete(name);
    for (const at of due) {
      const found = own.filter((run) => covers(run, at));
      if (found.length === 0) missing.push({ schedule: name, at });
      if (found.length > 1) faults.push(`${name} at ${new Date(at).toISOString()} has ${found.length} runs`);
    }
    const instants = new Set(due);
    for (const run of own) {
      if (!instants.has(run.scheduled_for)) faults.push(`${name} has a run for an instant at which it was not due`);
      const names = (children.get(run.id) ?? []).map((child) => child.target);
      const complete = new Set(names).size === targets.length && names.length === targets.length;
      if (targets.length > 0 && run.status !== "skipped" && !complete) {
        faults.push(`${name} has ${names.length} children for ${targets.length} targets`);
      }
    }
  }
  if (!others) for (const name of bySchedule.keys()) faults.push(`runs of an unknown schedule ${name}`);
  for (const { schedule, at } of missing) faults.push(`${schedule} has no run for ${new Date(at).toISOString()}`);
  return { faults, missing, due: expected.reduce((sum, schedule) => sum + schedule.due.length, 0) };
}

function covers({ scheduled_for, status_reason, result }: RunRecord, at: number): boolean {
  if (status_reason !== "missed") return scheduled_for === at;
  const first = result?.first === undefined ? scheduled_for : Date.parse(result.first);
  const last = result?.last === undefined ? scheduled_for : Date.parse(result.last);
  return first <= at && at <= last;
}
