import { breakerKey } from "./breaker.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import type { Instant } from "./instant.ts";
import { type PartialPolicy, type Policy, resolvePolicy } from "./policy.ts";
import { nextOccurrence, type Recurrence } from "./recurrence.ts";
import { compileRecurrence, type Timing } from "./timing.ts";

/** What planning needs to know of an action; the registry's entries have this shape. */
export interface PlannedAction {
  readonly pool: string | null;
  readonly defaults: Omit<PartialPolicy, "priority"> & { readonly priority?: "high" | "normal" | "low" | undefined };
  readonly breaker: { readonly key: string } | null;
  validatePayload(payload: unknown): FieldError[];
}

/** The parts of the world that a plan depends on. */
export interface PlanningContext {
  /** undefined: no such action or version; the message says which. */
  findAction(name: string, version: number): PlannedAction | undefined;
  describeAction(name: string, version: number): FieldError;
  readonly pools: ReadonlySet<string>;
  /** Errors found by looking at other schedules: unknown dependencies, cycles. */
  dependencyErrors(id: string): readonly FieldError[];
}

export interface PlannedSchedule extends Timing, Omit<PartialPolicy, "notify_on"> {
  readonly id: string;
  readonly enabled: boolean;
  readonly paused_until: Instant | null;
  readonly action: string;
  readonly action_version: number;
  readonly payload: unknown;
  readonly targets: readonly string[] | null;
  readonly notify_on: readonly string[];
  readonly max_runs: number | null;
  readonly run_count: number;
  readonly plan_from: Instant | null;
  readonly last_occurrence_at: Instant | null;
  readonly next_run_at: Instant | null;
}

/** `breaker` is the contract's key; `breaker_key` the breaker itself, where it does not depend on the target. */
export type ResolvedPolicy = Policy & { readonly breaker?: string; readonly breaker_key?: string };

export interface Plan {
  readonly next_run_at: Instant | null;
  readonly resolved: ResolvedPolicy | null;
  readonly errors: readonly FieldError[];
  /** An occurrence that was due before the edit and can no longer fire because of it: it leaves a row that says so. */
  readonly missed: Instant | null;
}

export const MOST_TARGETS = 10_000;

/**
 * Validates a schedule and computes its next occurrence. Pure: the same row gives the same plan whenever and wherever
 * it is made, so a plan that is made twice does no harm.
 */
export function planSchedule(schedule: PlannedSchedule, context: PlanningContext): Plan {
  const { recurrence, errors: timingErrors } = compile(schedule);
  const action = context.findAction(schedule.action, schedule.action_version);
  const resolved = action === undefined ? null : resolve(schedule, action);
  const errors = [
    ...timingErrors,
    ...(action === undefined
      ? [context.describeAction(schedule.action, schedule.action_version)]
      : action.validatePayload(schedule.payload)),
    ...targetErrors(schedule.targets),
    ...poolErrors(resolved, context.pools),
    ...context.dependencyErrors(schedule.id),
  ];
  const owed = wasDueBeforeEdit(schedule) ? schedule.next_run_at : null;
  if (errors.length > 0 || recurrence === null) return { next_run_at: null, resolved: null, errors, missed: owed };

  const dormant = !schedule.enabled || (schedule.paused_until ?? Number.NEGATIVE_INFINITY) > (schedule.plan_from ?? 0);
  if (owed !== null && !dormant) return { next_run_at: owed, resolved, errors, missed: null };
  const next = nextPlanned(schedule, recurrence);
  const never = next === null && neverFires(schedule);
  return {
    next_run_at: next,
    resolved,
    errors: never ? [{ field: "run_at", message: "lies in the past, so that the schedule would never fire" }] : [],
    missed: owed,
  };
}

/** The next occurrence after everything that is over: the edit, the last occurrence dealt with, the end of a pause. */
export function nextPlanned(schedule: PlannedSchedule, recurrence: Recurrence): Instant | null {
  const finished = schedule.max_runs !== null && schedule.run_count >= schedule.max_runs;
  const pausedUntil = schedule.paused_until ?? Number.NEGATIVE_INFINITY;
  if (!schedule.enabled || finished || pausedUntil === Number.POSITIVE_INFINITY) return null;
  // An occurrence at the very instant at which a pause ends is not paused any more.
  const after = Math.max(
    schedule.plan_from ?? 0,
    schedule.last_occurrence_at ?? Number.NEGATIVE_INFINITY,
    pausedUntil - 1,
  );
  return nextOccurrence(recurrence, after);
}

function compile(schedule: PlannedSchedule): { recurrence: Recurrence | null; errors: readonly FieldError[] } {
  try {
    return { recurrence: compileRecurrence(schedule), errors: [] };
  } catch (error) {
    if (error instanceof InvalidInput) return { recurrence: null, errors: error.errors };
    throw error;
  }
}

function resolve(schedule: PlannedSchedule, action: PlannedAction): ResolvedPolicy {
  const names = { high: 1, normal: 2, low: 3 } as const;
  const { priority, ...defaults } = action.defaults;
  const policy = resolvePolicy(schedule, {
    ...defaults,
    pool: action.pool,
    priority: priority === undefined ? null : names[priority],
  });
  if (action.breaker === null) return policy;
  const { key } = action.breaker;
  const breaker_key = breakerKey(schedule.action, key, schedule.payload, null);
  return { ...policy, breaker: key, ...(breaker_key === null ? {} : { breaker_key }) };
}

function wasDueBeforeEdit(schedule: PlannedSchedule): boolean {
  return schedule.next_run_at !== null && schedule.plan_from !== null && schedule.next_run_at <= schedule.plan_from;
}

function neverFires(schedule: PlannedSchedule): boolean {
  return (
    schedule.kind === "once" && schedule.enabled && schedule.run_count === 0 && schedule.last_occurrence_at === null
  );
}

function targetErrors(targets: readonly string[] | null): FieldError[] {
  if (targets === null || targets.length === 0) return [];
  if (targets.length > MOST_TARGETS) {
    return [{ field: "targets", message: `expected at most ${MOST_TARGETS} targets, found ${targets.length}` }];
  }
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, target] of targets.entries()) {
    if (target === "" || target.length > 1_024) {
      errors.push({ field: `targets.${index}`, message: "expected 1 to 1024 characters" });
    } else if (seen.has(target)) {
      errors.push({ field: `targets.${index}`, message: `${JSON.stringify(target)} is named twice` });
    }
    seen.add(target);
  }
  return errors.slice(0, 20);
}

function poolErrors(resolved: ResolvedPolicy | null, pools: ReadonlySet<string>): FieldError[] {
  if (resolved === null || pools.has(resolved.pool)) return [];
  return [{ field: "pool", message: `there is no pool ${JSON.stringify(resolved.pool)}` }];
}
