import { decideDue } from "./catch-up.ts";
import { type Instant, toIso } from "./instant.ts";
import type { Overlap } from "./policy.ts";
import { jitter, occurrenceRunId } from "./run-id.ts";
import { compileRecurrence, type Timing } from "./timing.ts";

/** What fire needs to know of a due schedule to say what becomes of its occurrences. */
export interface DueFacts extends Timing {
  readonly id: string;
  readonly next_run_at: Instant;
  readonly plan_from: Instant | null;
  readonly catchup: "latest" | "all" | "skip";
  readonly catchup_window_seconds: number;
  readonly jitter_seconds: number;
  readonly max_runs: number | null;
  readonly run_count: number;
  readonly depends_on: readonly string[];
}

/** What stands in the way of a new run of the schedule. */
export interface Place {
  readonly overlap: Overlap;
  /** An unfinished run of the schedule holds its place. */
  readonly busy: boolean;
  /** A run of the schedule waits already. */
  readonly waiting: boolean;
}

export interface Occurrence {
  readonly run_id: string;
  readonly scheduled_for: Instant;
  readonly outcome: "ready" | "jittered" | "buffered" | "blocked" | "overlap" | "missed";
  /** From the nominal instant to the one from which on it may be dispatched, ms. */
  readonly delay_ms: number;
  readonly result: { first: string; last: string; count: number } | null;
}

export interface DueOutcome {
  readonly occurrences: readonly Occurrence[];
  readonly next_run_at: Instant | null;
  readonly last_occurrence_at: Instant;
  /** Occurrences that became runs, as against rows that only say why there is none. */
  readonly started: number;
  readonly last_run_id: string | null;
}

/** An occurrence is never a moment late: less than this would make every one of them a missed one. */
const LEAST_WINDOW_SECONDS = 60;

/**
 * Says what becomes of every occurrence of a schedule up to `now`: catch-up chooses the instants that run and the range
 * that was missed, overlap decides for each that runs. Pure, so that each policy can be tested with a table.
 *
 * @param limit most runs to start at once; where more are due, `next_run_at` stays in the past
 * @throws InvalidInput where the timing cannot be compiled (the caller sets the schedule aside)
 */
export function decideOccurrences(due: DueFacts, place: Place, now: Instant, limit: number): DueOutcome {
  // An occurrence that is skipped for overlap uses up none of max_runs, so whether the schedule is finished is for the
  // caller to say, after overlap has decided; here it only bounds how many may start.
  const left = due.max_runs === null ? limit : Math.min(limit, Math.max(1, due.max_runs - due.run_count));
  const decision = decideDue({
    recurrence: compileRecurrence(due),
    due: due.next_run_at,
    plan_from: due.plan_from,
    now,
    catchup: due.catchup,
    catchup_window_seconds: Math.max(due.catchup_window_seconds, LEAST_WINDOW_SECONDS),
    max_runs_left: null,
    limit: left,
  });

  const occurrences: Occurrence[] = [];
  if (decision.missed !== null) {
    const { first, last, count } = decision.missed;
    occurrences.push({
      run_id: occurrenceRunId(due.id, first),
      scheduled_for: first,
      outcome: "missed",
      delay_ms: 0,
      result: { first: toIso(first), last: toIso(last), count },
    });
  }

  let { busy, waiting } = place;
  let lastRunId: string | null = null;
  let started = 0;
  for (const scheduledFor of decision.runs) {
    const run_id = occurrenceRunId(due.id, scheduledFor);
    const outcome = outcomeOf(place.overlap, due.depends_on.length > 0, busy, waiting);
    const delay_ms = jitter(due.id, scheduledFor, due.jitter_seconds * 1_000);
    occurrences.push({
      run_id,
      scheduled_for: scheduledFor,
      outcome: outcome === "ready" && scheduledFor + delay_ms > now ? "jittered" : outcome,
      delay_ms,
      result: null,
    });
    if (outcome === "overlap") continue;
    started += 1;
    lastRunId = run_id;
    if (outcome === "ready") busy = place.overlap !== "allow";
    else waiting = true;
  }
  return {
    occurrences,
    next_run_at: decision.next,
    last_occurrence_at: decision.last,
    started,
    last_run_id: lastRunId,
  };
}

function outcomeOf(
  overlap: Overlap,
  dependent: boolean,
  busy: boolean,
  waiting: boolean,
): "ready" | "buffered" | "blocked" | "overlap" {
  if (overlap === "skip" && (busy || waiting)) return "overlap";
  if (overlap === "buffer_one" && waiting) return "overlap";
  if (dependent) return "blocked";
  if (overlap !== "allow" && (busy || waiting)) return "buffered";
  return "ready";
}
