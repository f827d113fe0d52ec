import { type BreakerContract, breakerKey, breakerPolicy } from "./breaker.ts";
import type { Missed } from "./catch-up.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import type { Instant } from "./instant.ts";
import { type Owed, owedOccurrences, type Superseded } from "./owed.ts";
import { type PartialPolicy, type RunPolicy, resolvePolicy } from "./policy.ts";
import { nextOccurrence, type Recurrence } from "./recurrence.ts";
import { compileRecurrence, type Timing } from "./timing.ts";

/** What planning needs to know of an action; the registry's entries have this shape. */
export interface PlannedAction {
  readonly pool: string | null;
  readonly defaults: Omit<PartialPolicy, "priority"> & { readonly priority?: "high" | "normal" | "low" | undefined };
  readonly breaker: BreakerContract | null;
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
  /** What is due next as far as was planned; an edit that voids it sets it to null. */
  readonly next_run_at: Instant | null;
  /** The last edit. */
  readonly updated_at: Instant;
  /** What an edit since the last planning put an end to. */
  readonly superseded: Superseded | null;
  /** The database's instant. It decides only whether `next_run_at` has come due. */
  readonly now: Instant;
}

/** `breaker` is the contract's key; `breaker_key` the breaker itself, where it does not depend on the target. */
export type ResolvedPolicy = RunPolicy & { readonly breaker_key?: string };

export interface Plan {
  readonly next_run_at: Instant | null;
  readonly resolved: ResolvedPolicy | null;
  readonly errors: readonly FieldError[];
  /** Occurrences that had come due and can no longer fire: they leave a row that says so. */
  readonly missed: Missed | null;
}

export const MOST_TARGETS = 10_000;

/**
 * Validates a schedule and computes its next occurrence. Pure, and a plan that is made twice does no harm: what has come
 * due stays due or is said to be missed, what is ahead stays where it is.
 */
export function planSchedule(schedule: PlannedSchedule, context: PlanningContext): Plan {
  const { recurrence, errors: timingErrors } = compile(schedule);
  const action = context.findAction(schedule.action, schedule.action_version);
  const resolved = action === undefined ? null : resolve(schedule, action);
  const errors = [
    ...timingErrors,
    ...instantErrors(schedule),
    ...(action === undefined
      ? [context.describeAction(schedule.action, schedule.action_version)]
      : action.validatePayload(schedule.payload)),
    ...targetErrors(schedule.targets),
    ...poolErrors(resolved, context.pools),
    ...context.dependencyErrors(schedule.id),
  ];
  if (errors.length > 0 || recurrence === null) return cannotRun(schedule, recurrence, errors);

  const owed = owedOccurrences(schedule, recurrence);
  if (owed !== null && staysDue(schedule, owed)) {
    return { next_run_at: owed.due, resolved, errors, missed: owed.before_due };
  }
  const next = claimed(schedule) ?? nextPlanned(schedule, recurrence, owed);
  const never = next === null && owed === null ? neverFires(schedule) : [];
  return { next_run_at: next, resolved, errors: never, missed: owed?.all ?? null };
}

/** The plan of a schedule that cannot be used, for the reasons given. */
export function cannotRun(
  schedule: PlannedSchedule,
  recurrence: Recurrence | null,
  errors: readonly FieldError[],
): Plan {
  return {
    next_run_at: null,
    resolved: null,
    errors,
    missed: owedOccurrences(schedule, recurrence)?.all ?? null,
  };
}

/** What had come due before the edit is not lost, unless the edit was about not running it. */
function staysDue(schedule: PlannedSchedule, owed: Owed): boolean {
  return !isOver(schedule) && !((schedule.paused_until ?? Number.NEGATIVE_INFINITY) > owed.due);
}

/** A claim that is still ahead and that no edit has voided, perhaps set by hand. */
function claimed(schedule: PlannedSchedule): Instant | null {
  const { next_run_at, paused_until } = schedule;
  if (isOver(schedule) || next_run_at === null || !Number.isFinite(next_run_at)) return null;
  const ahead = next_run_at > Math.max(schedule.now, schedule.updated_at, paused_until ?? Number.NEGATIVE_INFINITY);
  return ahead ? next_run_at : null;
}

function isOver(schedule: PlannedSchedule): boolean {
  return !schedule.enabled || (schedule.max_runs !== null && schedule.run_count >= schedule.max_runs);
}

/** The next occurrence after everything that is over: the edit, the last occurrence dealt with, the end of a pause. */
export function nextPlanned(
  schedule: PlannedSchedule,
  recurrence: Recurrence,
  owed: Owed | null = null,
): Instant | null {
  const pausedUntil = schedule.paused_until ?? Number.NEGATIVE_INFINITY;
  if (isOver(schedule) || pausedUntil === Number.POSITIVE_INFINITY) return null;
  // An occurrence at the very instant at which a pause ends is not paused any more.
  const after = Math.max(
    schedule.plan_from ?? 0,
    schedule.last_occurrence_at ?? Number.NEGATIVE_INFINITY,
    owed?.all.last ?? Number.NEGATIVE_INFINITY,
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
  // A parent is never dispatched: its children have breakers of their own.
  const breaker_key = hasTargets(schedule)
    ? null
    : breakerKey(schedule.action, action.breaker.key, schedule.payload, null);
  return { ...policy, ...breakerPolicy(action.breaker), ...(breaker_key === null ? {} : { breaker_key }) };
}

function hasTargets(schedule: PlannedSchedule): boolean {
  return schedule.targets !== null && schedule.targets.length > 0;
}

/** Postgres has instants that JavaScript has not. */
function instantErrors(schedule: PlannedSchedule): FieldError[] {
  const fields = ["paused_until", "plan_from"] as const;
  return fields
    .filter((field) => Number.isNaN(schedule[field]))
    .map((field) => ({ field, message: "must be an instant of the years 1970 to 9999" }));
}

/** A schedule for a single instant that has gone by without it: its owner is told, because nothing else will happen. */
function neverFires(schedule: PlannedSchedule): FieldError[] {
  const { kind, paused_until } = schedule;
  const fresh = schedule.run_count === 0 && schedule.last_occurrence_at === null;
  if (kind !== "once" || isOver(schedule) || !fresh || paused_until === Number.POSITIVE_INFINITY) return [];
  const paused = paused_until !== null && schedule.run_at !== null && schedule.run_at > (schedule.plan_from ?? 0);
  const where = paused ? "within the pause" : "in the past";
  return [{ field: "run_at", message: `lies ${where}, so that the schedule would never fire` }];
}

function targetErrors(targets: readonly string[] | null): FieldError[] {
  if (targets === null || targets.length === 0) return [];
  if (targets.length > MOST_TARGETS) {
    return [{ field: "targets", message: `expected at most ${MOST_TARGETS} targets, found ${targets.length}` }];
  }
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, target] of targets.entries()) {
    // SQL can put a NULL among them.
    if (typeof target !== "string" || target === "" || target.length > 1_024) {
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
