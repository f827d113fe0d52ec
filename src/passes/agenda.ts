import type { ForeseenFiring, SoonDue } from "../database/foreseen-schedules.ts";
import { type Instant, toPostgresOrNull } from "../schedule/instant.ts";
import { decideOccurrences, type Occurrence } from "../schedule/occurrences.ts";
import { runTraceparent } from "../schedule/run-id.ts";

/** What will become of a schedule at its next instant, if nothing changes until then. */
export interface Foreseen {
  readonly schedule: SoonDue;
  readonly occurrence: Occurrence;
  readonly next_run_at: Instant | null;
  /** What is written, and what the event needs besides the schedule, made ahead as well. */
  readonly firing: ForeseenFiring;
  readonly traceparent: string;
}

/**
 * What an agenda may hold, in characters of payload and a flat charge for each schedule (measured: 1,120 bytes of heap
 * each): with payloads of a hundred bytes 50,000 schedules.
 */
const ROOM = 64 * 1024 * 1024;
const CHARGE = 1_200;
/**
 * How far ahead schedules are decided, ms; with half of it left, the next window is read. Reading 50,000 takes 0.8 s on two
 * idle processors.
 */
const HORIZON_MS = 10_000;
/** Up to here every catch-up policy lets a late occurrence run; later it has a say (`SKIP_TOLERANCE_MS`). */
const PUNCTUAL_MS = 60_000;

/**
 * The schedules that are due within the next seconds, with what will become of each decided ahead. Only ever a shortcut:
 * what is on it and has changed is not fired from it, and what is missing from it is found by fire when it is due.
 */
export class Agenda {
  readonly horizon_ms: number;
  readonly #room: number;
  /** Up to this instant schedules have been read, or are being read; `lookAhead` moves it. */
  until: Instant = Number.NEGATIVE_INFINITY;
  /** Schedules due by then that are still to be read. */
  unread: string[] = [];
  /** When a batch was taken that was full, so that more may have been due at that instant; else null. */
  rest_due_at: Instant | null = null;
  /** What is due at an instant. Instants are whole ms, so that a horizon of seconds has a few thousand of them. */
  readonly #slots = new Map<Instant, Foreseen[]>();
  /** Those instants, ascending. */
  readonly #instants: Instant[] = [];
  #held = 0;

  constructor({ horizon_ms = HORIZON_MS, room = ROOM } = {}) {
    this.horizon_ms = horizon_ms;
    this.#room = room;
  }

  /** How many schedules it holds at most. */
  get capacity(): number {
    return Math.ceil(this.#room / CHARGE);
  }

  get full(): boolean {
    return this.#held >= this.#room;
  }

  /** Puts a schedule on the agenda, unless what becomes of it can only be decided when it is due. */
  add(schedule: SoonDue): void {
    if (schedule.next_run_at > this.until || this.full) return;
    const foreseen = foresee(schedule);
    if (foreseen === null) return;
    this.#held += charge(foreseen);
    const slot = this.#slots.get(schedule.next_run_at);
    if (slot !== undefined) slot.push(foreseen);
    else {
      this.#slots.set(schedule.next_run_at, [foreseen]);
      this.#instants.splice(place(this.#instants, schedule.next_run_at), 0, schedule.next_run_at);
    }
  }

  /**
   * How long fire may sleep (ms) when the next schedule is due in `next_in_ms`: where that is far off, until it is time to
   * look at it.
   */
  wakeIn(next_in_ms: number | null): number | null {
    const refill_ms = this.horizon_ms / 2;
    return next_in_ms !== null && next_in_ms > refill_ms ? next_in_ms - refill_ms : next_in_ms;
  }

  /** How many are due at `now`. */
  dueAt(now: Instant): number {
    let count = 0;
    for (const instant of this.#instants) {
      if (instant > now) break;
      count += this.#slots.get(instant)!.length;
    }
    return count;
  }

  /** Takes off what is due at `now`, earliest first; what has been missed goes too, and is not answered. */
  takeDue(now: Instant, limit: number): Foreseen[] {
    const taken: Foreseen[] = [];
    for (let [due] = this.#instants; due !== undefined && due <= now && taken.length < limit; [due] = this.#instants) {
      const slot = this.#slots.get(due)!;
      const count = Math.min(limit - taken.length, slot.length);
      // From anywhere: instances that are up to the same burst must not meet at each batch.
      const from = Math.floor(Math.random() * (slot.length - count + 1));
      for (const foreseen of slot.splice(from, count)) {
        this.#held -= charge(foreseen);
        taken.push(foreseen);
      }
      if (slot.length > 0) break;
      this.#slots.delete(due);
      this.#instants.shift();
    }
    this.rest_due_at = taken.length === limit ? now : null;
    return taken.filter(({ schedule }) => schedule.next_run_at >= now - PUNCTUAL_MS);
  }
}

/** Where in the ascending list the instant belongs. */
function place(instants: readonly Instant[], instant: Instant): number {
  let low = 0;
  let high = instants.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (instants[middle]! < instant) low = middle + 1;
    else high = middle;
  }
  return low;
}

const charge = ({ schedule }: Foreseen) => CHARGE + schedule.payload.length;

/** Null: a pool, a breaker, targets, a dependency or jitter has a say in it, or its timing cannot be used. */
function foresee(schedule: SoonDue): Foreseen | null {
  if (!schedule.pool_open || schedule.resolved.breaker_key !== undefined || schedule.targets?.length) return null;
  const free = { overlap: schedule.resolved.overlap, busy: false, waiting: false };
  try {
    const outcome = decideOccurrences(schedule, free, schedule.next_run_at, 1);
    const [occurrence] = outcome.occurrences;
    if (outcome.occurrences.length !== 1 || occurrence?.outcome !== "ready") return null;
    const finished = schedule.max_runs !== null && schedule.run_count + 1 >= schedule.max_runs;
    const next_run_at = finished ? null : outcome.next_run_at;
    const { run_id } = occurrence;
    const firing = {
      schedule_id: schedule.id,
      version: schedule.version,
      run_id,
      next_run_at: toPostgresOrNull(next_run_at),
    };
    return { schedule, occurrence, next_run_at, firing, traceparent: runTraceparent(run_id) };
  } catch {
    return null; // Fire will say what is wrong with it when it is due.
  }
}
