import { COLUMN_DEFAULTS } from "../database/schedule-columns.ts";
import { databaseNow } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { InvalidInput } from "../schedule/errors.ts";
import type { Instant } from "../schedule/instant.ts";
import { dstEffect, nextOccurrence, type Recurrence } from "../schedule/recurrence.ts";
import { compileRecurrence, type Timing } from "../schedule/timing.ts";
import { viewNamedSchedule } from "./find-schedule.ts";
import { type ScheduleInput, toColumns } from "./schedule-input.ts";

export interface PreviewInput extends ScheduleInput {
  /** Id or name of the schedule that the timing is a change of. */
  readonly schedule?: string | undefined;
  /** Seeds every `H` of a cron expression. */
  readonly name?: string | undefined;
  /** Exclusive; absent: now. */
  readonly after?: Instant | undefined;
  readonly count: number;
}

export interface Preview {
  readonly occurrences: readonly Instant[];
  /** Those that a clock change touches. */
  readonly dst: readonly DstMark[];
  /** For a change: what it adds to the next occurrences, and what it takes away. */
  readonly change: { readonly appear: readonly Instant[]; readonly vanish: readonly Instant[] } | null;
}

export interface DstMark {
  readonly at: Instant;
  /** `gap`: it stands for local times that do not exist that day; `fold`: its local time exists twice. */
  readonly effect: "gap" | "fold";
}

/**
 * When a timing would be due, without storing anything.
 * @throws NotFound; InvalidInput on the columns at fault
 */
export function previewSchedule(deps: Deps, input: PreviewInput): Promise<Preview> {
  return deps.database.transaction(async (tx) => {
    const now = await databaseNow(tx);
    const after = input.after ?? now;
    const before = input.schedule === undefined ? null : await viewNamedSchedule(tx, input.schedule);
    const columns = await toColumns(tx, input, before ?? {});
    const base: Timing = before ?? { ...COLUMN_DEFAULTS, name: input.name ?? "", created_at: now };
    const changed = compileRecurrence({ ...base, ...columns });
    const occurrences = next(changed, after, input.count);
    const marked = marks(changed, occurrences);
    if (before === null) return { occurrences, dst: marked, change: null };
    const current = next(compileIfPossible(before), after, input.count);
    return { occurrences, dst: marked, change: difference(current, occurrences, input.count) };
  });
}

/**
 * When a schedule is due next, pauses, limits and what is planned taken into account.
 * @throws NotFound
 */
export function upcoming(
  deps: Deps,
  idOrName: string,
  count: number,
): Promise<{ readonly occurrences: readonly Instant[]; readonly dst: readonly DstMark[] }> {
  return deps.database.transaction(async (tx) => {
    const schedule = await viewNamedSchedule(tx, idOrName);
    const recurrence = compileIfPossible(schedule);
    const first = schedule.next_run_at;
    if (first === null || recurrence === null) return { occurrences: [], dst: [] };
    const left = schedule.max_runs === null ? count : Math.max(0, schedule.max_runs - schedule.run_count);
    const rest = next(recurrence, Math.max(first, schedule.plan_from ?? first), count - 1);
    const occurrences = [first, ...rest].slice(0, Math.min(count, left));
    return { occurrences, dst: marks(recurrence, occurrences) };
  });
}

/** null for a schedule that has a problem: there is nothing that it would do. */
function compileIfPossible(timing: Timing): Recurrence | null {
  try {
    return compileRecurrence(timing);
  } catch (error) {
    if (error instanceof InvalidInput) return null;
    throw error;
  }
}

function next(recurrence: Recurrence | null, after: Instant, count: number): Instant[] {
  const found: Instant[] = [];
  let at = recurrence === null || count <= 0 ? null : nextOccurrence(recurrence, after);
  while (at !== null && found.length < count) {
    found.push(at);
    at = nextOccurrence(recurrence!, at);
  }
  return found;
}

function marks(recurrence: Recurrence, occurrences: readonly Instant[]): DstMark[] {
  return occurrences.flatMap((at) => {
    const effect = dstEffect(recurrence, at);
    return effect === null ? [] : [{ at, effect }];
  });
}

// Two lists of so many occurrences end at different instants: only as far as both reach can they be compared.
function difference(current: readonly Instant[], changed: readonly Instant[], count: number) {
  const reach = (list: readonly Instant[]) => (list.length < count ? Number.POSITIVE_INFINITY : list.at(-1)!);
  const until = Math.min(reach(current), reach(changed));
  const [was, becomes] = [new Set(current), new Set(changed)];
  return {
    appear: changed.filter((at) => at <= until && !was.has(at)),
    vanish: current.filter((at) => at <= until && !becomes.has(at)),
  };
}
