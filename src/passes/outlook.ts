import type { AgendaEntry } from "../database/agenda-entries.ts";
import type { ForeseenFiring, SoonDue } from "../database/foreseen-schedules.ts";
import { triggerBody } from "../messaging/trigger-event.ts";
import { type Instant, toPostgresOrNull } from "../schedule/instant.ts";
import { decideOccurrences, type Occurrence } from "../schedule/occurrences.ts";
import { runTraceparent } from "../schedule/run-id.ts";
import { toPublication } from "./fire-batch.ts";
import { triggerFacts } from "./trigger-events.ts";

/** An entry of the agenda, and what of it was foreseen. */
interface Slot {
  readonly id: string;
  readonly next_run_at: Instant;
  readonly foreseen: Foreseen[];
}

/** What is due, and the entries by which it is. */
export interface Due {
  readonly entries: readonly Pick<AgendaEntry, "id" | "next_run_at">[];
  readonly foreseen: readonly Foreseen[];
}

/** What will become of a schedule at its next instant, if nothing changes until then. */
export interface Foreseen {
  readonly schedule: SoonDue;
  readonly occurrence: Occurrence;
  readonly next_run_at: Instant | null;
  /** What is written, and what the event needs besides the schedule, made ahead as well. */
  readonly firing: ForeseenFiring;
  readonly traceparent: string;
  readonly body: Buffer;
}

/**
 * What an outlook may hold, in bytes: each schedule's payload, the body of its event, and a flat charge for the rest (measured: 1,200
 * on the heap, and 160 of Buffer's pool that nobody uses). With payloads of a hundred bytes 50,000 schedules.
 */
const ROOM = 112 * 1024 * 1024;
const CHARGE = 1_360;
/**
 * How far ahead schedules are decided, ms; with half of it left, the next window is read. Reading 50,000 takes 0.8 s on two
 * idle processors.
 */
const HORIZON_MS = 10_000;
/** Up to here every catch-up policy lets a late occurrence run; later it has a say (`SKIP_TOLERANCE_MS`). */
const PUNCTUAL_MS = 60_000;

/**
 * The next seconds of the agenda, with what will become of each schedule decided ahead. Only ever a shortcut: what is
 * on it and has changed is not fired from it, and what is missing from it is found by fire when it is due.
 */
export class Outlook {
  readonly horizon_ms: number;
  readonly #room: number;
  /** Up to this instant schedules have been read, or are being read; `lookAhead` moves it. */
  until: Instant = Number.NEGATIVE_INFINITY;
  /** Entries up to then whose schedules are still to be read. */
  unread: AgendaEntry[] = [];
  /** When a batch was taken and more was due at that instant; else null. */
  rest_due_at: Instant | null = null;
  /** What is due at an instant. Instants are whole ms, so that a horizon of seconds has a few thousand of them. */
  readonly #slots = new Map<Instant, Slot[]>();
  /** Those instants, ascending. */
  readonly #instants: Instant[] = [];
  #held = 0;

  constructor({ horizon_ms = HORIZON_MS, room = ROOM } = {}) {
    this.horizon_ms = horizon_ms;
    this.#room = room;
  }

  /** How many schedules it never holds more of, however short their events. */
  get capacity(): number {
    return Math.ceil(this.#room / CHARGE);
  }

  get full(): boolean {
    return this.#held >= this.#room;
  }

  /** Takes a schedule up by its entry in the agenda, unless what becomes of it can only be decided when it is due. */
  add(schedule: SoonDue, entry: string): void {
    const { next_run_at } = schedule;
    if (next_run_at > this.until || this.full) return;
    const foreseen = foresee(schedule, entry);
    if (foreseen === null) return;
    this.#held += charge(foreseen);
    let slots = this.#slots.get(next_run_at);
    if (slots === undefined) {
      slots = [];
      this.#slots.set(next_run_at, slots);
      this.#instants.splice(place(this.#instants, next_run_at), 0, next_run_at);
    }
    // Schedules of an entry come one after the other.
    if (slots.at(-1)?.id === entry) slots.at(-1)!.foreseen.push(foreseen);
    else slots.push({ id: entry, next_run_at, foreseen: [foreseen] });
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
      for (const slot of this.#slots.get(instant)!) count += slot.foreseen.length;
    }
    return count;
  }

  /**
   * Takes off what is due at `now`, earliest first, entry by entry until there are so many; what has been missed goes too, and
   * is not answered.
   */
  takeDue(now: Instant, least: number): Due {
    const entries: Slot[] = [];
    let count = 0;
    for (let [due] = this.#instants; due !== undefined && due <= now && count < least; [due] = this.#instants) {
      const slots = this.#slots.get(due)!;
      while (slots.length > 0 && count < least) {
        // From anywhere: instances that are up to the same burst must not meet at each batch.
        const from = Math.floor(Math.random() * slots.length);
        let end = from;
        for (; end < slots.length && count < least; end += 1) count += slots[end]!.foreseen.length;
        entries.push(...slots.splice(from, end - from));
      }
      if (slots.length > 0) break;
      this.#slots.delete(due);
      this.#instants.shift();
    }
    for (const { foreseen } of entries) for (const one of foreseen) this.#held -= charge(one);
    const [next] = this.#instants;
    this.rest_due_at = count > 0 && next !== undefined && next <= now ? now : null;
    const punctual = entries.filter(({ next_run_at }) => next_run_at >= now - PUNCTUAL_MS);
    return { entries: punctual, foreseen: each(punctual.flatMap(({ foreseen }) => foreseen)) };
  }
}

/** Each schedule once: one that is planned anew shortly before its instant is entered again. */
function each(foreseen: readonly Foreseen[]): readonly Foreseen[] {
  const seen = new Set<string>();
  return foreseen.filter(({ schedule: { id } }) => seen.size < seen.add(id).size);
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

const charge = ({ schedule, body }: Foreseen) => CHARGE + schedule.payload.length + body.length;

/** Null: a pool, a breaker, targets, a dependency or jitter has a say in it, or its timing cannot be used. */
function foresee(schedule: SoonDue, entry: string): Foreseen | null {
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
      entry,
    };
    const traceparent = runTraceparent(run_id);
    const run = toPublication(schedule, occurrence, schedule.next_run_at, { traceparent });
    return { schedule, occurrence, next_run_at, firing, traceparent, body: triggerBody(triggerFacts(run)) };
  } catch {
    return null; // Fire will say what is wrong with it when it is due.
  }
}
