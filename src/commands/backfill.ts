import { countCreated } from "../counted.ts";
import type { Tx } from "../database/connection.ts";
import { unfinishedSchedules } from "../database/due-schedules.ts";
import { insertRuns, type NewRun, noteRun } from "../database/new-runs.ts";
import { runsThatStand } from "../database/run-queries.ts";
import { type LockedSchedule, lockSchedule } from "../database/schedule-runs.ts";
import type { RunRow, ScheduleRow, Status } from "../database/schema.ts";
import { databaseNow } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { breakerKey } from "../schedule/breaker.ts";
import { InvalidInput } from "../schedule/errors.ts";
import type { Instant } from "../schedule/instant.ts";
import type { ResolvedPolicy } from "../schedule/planning.ts";
import type { Overlap } from "../schedule/policy.ts";
import { countOccurrences, nextOccurrence, type Recurrence } from "../schedule/recurrence.ts";
import { occurrenceRunId } from "../schedule/run-id.ts";
import { compileRecurrence } from "../schedule/timing.ts";
import { lockUsableSchedule } from "./usable-schedule.ts";

export interface BackfillInput {
  /** Both inclusive. */
  readonly from: Instant;
  readonly to: Instant;
  /** Absent: the schedule's where it is `allow`, otherwise one after the other (`buffer_all`). */
  readonly overlap?: Overlap | undefined;
  readonly dry_run: boolean;
}

export interface Backfilled {
  /** Nominal instants that got a run (or, in a dry run, would get one), oldest first. */
  readonly occurrences: readonly Instant[];
  /** Occurrences of the span that have a run already. */
  readonly existing: number;
}

const MOST_OCCURRENCES = 10_000;
/** Runs inserted by one transaction. */
const BATCH = 500;
const SALT = "backfill";

/**
 * Runs the occurrences of a span that have no run, missed ones included, oldest first. The runs' ids are computed, so that
 * a second call adds nothing and one that was cut short is completed by another.
 * @throws NotFound; InvalidInput on `from` and `to`; Conflict where the schedule has a problem
 */
export async function backfill(deps: Deps, idOrName: string, input: BackfillInput, actor: string): Promise<Backfilled> {
  const { id, instants } = await deps.database.transaction(
    async (tx) => {
      const schedule = await lockUsableSchedule(deps, tx, idOrName);
      return { id: schedule.id, instants: occurrences(schedule, input, await databaseNow(tx)) };
    },
    { actor },
  );
  const filled: Instant[] = [];
  for (let from = 0; from < instants.length; from += BATCH) {
    const chunk = instants.slice(from, from + BATCH);
    const { missing, inserted } = await deps.database.transaction((tx) => fill(tx, id, chunk, input, actor), { actor });
    filled.push(...missing);
    countCreated(deps, inserted);
    if (inserted.length > 0) follow(deps);
  }
  return { occurrences: filled, existing: instants.length - filled.length };
}

function occurrences(schedule: ScheduleRow, { from, to }: BackfillInput, now: Instant): Instant[] {
  if (to < from) throw new InvalidInput([{ field: "to", message: "lies before from" }]);
  if (to > now)
    throw new InvalidInput([{ field: "to", message: "must not lie in the future: what is due then runs then" }]);
  const recurrence: Recurrence = compileRecurrence(schedule);
  const count = countOccurrences(recurrence, from - 1, to, MOST_OCCURRENCES + 1);
  if (count > MOST_OCCURRENCES) {
    const message = `the span has more than ${MOST_OCCURRENCES} occurrences: narrow it`;
    throw new InvalidInput([{ field: "to", message }]);
  }
  const found: Instant[] = [];
  for (let at = nextOccurrence(recurrence, from - 1); at !== null && at <= to; at = nextOccurrence(recurrence, at)) {
    found.push(at);
  }
  return found;
}

async function fill(
  tx: Tx,
  id: string,
  instants: readonly Instant[],
  input: BackfillInput,
  actor: string,
): Promise<{ readonly missing: readonly Instant[]; readonly inserted: readonly RunRow[] }> {
  const schedule = await lockSchedule(tx, id);
  // Deleted or broken since the first look: what was done stays, the rest is left.
  if (schedule === undefined || schedule.resolved === null) return { missing: [], inserted: [] };
  const own = instants.map((at) => occurrenceRunId(id, at));
  const filled = instants.map((at) => occurrenceRunId(id, at, SALT));
  const standing = await runsThatStand(tx, [...own, ...filled]);
  const open = instants.filter((_, index) => !standing.has(own[index]!) && !standing.has(filled[index]!));
  // The instant at which it is due next is left to fire, which would make another run of it.
  const missing = open.filter((at) => schedule.next_run_at === null || at < schedule.next_run_at);
  if (input.dry_run || missing.length === 0) return { missing, inserted: [] };

  const runs = await newRuns(tx, schedule, missing, input, actor);
  const inserted = await insertRuns(tx, runs);
  const last = inserted.findLast((run) => run.status !== "skipped");
  if (last !== undefined) await noteRun(tx, id, last.id, false);
  return { missing, inserted };
}

async function newRuns(
  tx: Tx,
  schedule: LockedSchedule,
  instants: readonly Instant[],
  input: BackfillInput,
  actor: string,
): Promise<NewRun[]> {
  const resolved = schedule.resolved as ResolvedPolicy;
  const overlap = input.overlap ?? (resolved.overlap === "allow" ? "allow" : "buffer_all");
  const unfinished = overlap === "allow" ? undefined : (await unfinishedSchedules(tx, [schedule.id])).get(schedule.id);
  const place = placer(overlap, unfinished);
  return instants.map((at): NewRun => {
    const status = place();
    return {
      id: occurrenceRunId(schedule.id, at, SALT),
      schedule_id: schedule.id,
      schedule_name: schedule.name,
      action: schedule.action,
      action_version: schedule.action_version,
      payload: schedule.payload,
      payload_text: schedule.payload_text,
      targets: schedule.targets,
      trigger_type: "backfill",
      triggered_by: actor,
      scheduled_for: at,
      policy: { ...resolved, overlap },
      exclusive: overlap !== "allow",
      status,
      status_reason: status === "waiting" ? "buffered" : status === "skipped" ? "overlap" : null,
      breaker_key: schedule.targets?.length
        ? null
        : breakerKey(schedule.action, resolved.breaker, schedule.payload, null),
      traceparent: null,
    };
  });
}

/** What becomes of one run after the other, each in the way of the next. */
function placer(overlap: Overlap, unfinished: { readonly waiting: boolean } | undefined): () => Status {
  let busy = unfinished !== undefined;
  let waiting = unfinished?.waiting ?? false;
  return () => {
    if (overlap === "allow") return "pending";
    if (!busy) {
      busy = true;
      return "pending";
    }
    if (overlap === "skip" || (overlap === "buffer_one" && waiting)) return "skipped";
    waiting = true;
    return "waiting";
  };
}

function follow(deps: Deps): void {
  for (const pass of ["dispatch", "expand", "supervise"] as const) deps.wake(pass);
}
