import type { Deps } from "./deps.ts";
import type { Instant } from "./schedule/instant.ts";
import { PRIORITY_NAMES, type Priority } from "./schedule/policy.ts";
import type { RunState } from "./schedule/run-transitions.ts";

interface NewOne {
  readonly trigger_type: string;
  /** Of the schedule whose timing made it; absent: somebody asked. */
  readonly kind?: string;
  readonly status: string;
  readonly status_reason: string | null;
  readonly action: string;
  readonly priority: number;
}

/** Counts runs that were made. After the commit. */
export function countCreated({ metrics }: Pick<Deps, "metrics">, runs: readonly NewOne[]): void {
  // A batch is mostly of one sort, and a label look-up per sort is cheaper than one per run.
  const sorts = new Map<string, { readonly one: NewOne; count: number }>();
  for (const one of runs) {
    const { trigger_type, kind, status, status_reason, action, priority } = one;
    const key = `${trigger_type} ${kind} ${status} ${status_reason} ${action} ${priority}`;
    const sort = sorts.get(key);
    if (sort === undefined) sorts.set(key, { one, count: 1 });
    else sort.count += 1;
  }
  for (const { one, count } of sorts.values()) {
    const { trigger_type, kind = "", status, status_reason, action } = one;
    metrics.runs_created.inc({ trigger_type, kind, status, priority: PRIORITY_NAMES[one.priority as Priority] }, count);
    // It has ended with its beginning.
    if (status === "skipped") metrics.runs_ended.inc({ status, reason: status_reason ?? "", action }, count);
  }
}

interface FiredOne {
  readonly schedule: {
    readonly kind: string;
    readonly action: string;
    readonly resolved: { readonly priority: number };
  };
  readonly occurrence: { readonly scheduled_for: Instant };
  readonly row: { readonly status: string; readonly status_reason: string | null };
}

/** Counts what fire made of occurrences at `now`, and how late it was. After the commit. */
export function countFired(deps: Pick<Deps, "metrics">, runs: readonly FiredOne[], now: Instant): void {
  countCreated(
    deps,
    runs.map(({ schedule: { action, kind, resolved }, row: { status, status_reason } }) => {
      return { trigger_type: "scheduled", kind, status, status_reason, action, priority: resolved.priority };
    }),
  );
  for (const { occurrence } of runs) {
    deps.metrics.lateness_seconds.observe(Math.max(0, now - occurrence.scheduled_for) / 1_000);
  }
}

/** Counts runs that ended and attempts that another one follows. After the commit. */
export function countEnds(
  { metrics }: Pick<Deps, "metrics">,
  { finished, retried }: { readonly finished: readonly Ended[]; readonly retried: readonly Ended[] },
): void {
  for (const { status, status_reason, action, started_at, completed_at, child_total } of finished) {
    metrics.runs_ended.inc({ status, reason: status_reason ?? "", action });
    // A parent's span is that of its children, and says nothing about how long the action takes.
    if (started_at === null || completed_at === null || child_total !== null) continue;
    metrics.run_seconds.observe({ action, status }, Math.max(0, completed_at - started_at) / 1_000);
  }
  for (const { status_reason, action } of retried) metrics.retries.inc({ action, reason: status_reason ?? "" });
}

type Ended = Pick<RunState, "status" | "status_reason" | "started_at" | "completed_at"> & {
  readonly action: string;
  readonly child_total: number | null;
};
