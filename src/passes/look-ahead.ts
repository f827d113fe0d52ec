import { findSoonDue, readSoonDue } from "../database/foreseen-schedules.ts";
import type { Deps } from "../deps.ts";
import type { Instant } from "../schedule/instant.ts";
import type { Agenda } from "./agenda.ts";

/** Schedules read at once: a few ms of work, by which one that falls due meanwhile may be late. */
const CHUNK = 250;
/**
 * Where nothing falls due meanwhile; or fire is behind already: as many as fall due in a pass, or reading would never get
 * ahead of it.
 */
const LARGE_CHUNK = 1_000;

/**
 * Decides ahead what will become of the schedules due within the next seconds, so that at their instant it only has to be
 * written. Goes by windows that follow each other: first finds out which schedules fall into one, by their index alone, then
 * reads them a chunk at a time, each once.
 * @param now the database's instant
 * @param large nothing falls due meanwhile, or fire is behind: a large chunk is read
 * @returns whether there is more to read at once
 */
export async function lookAhead(deps: Deps, agenda: Agenda, now: Instant, large: boolean): Promise<boolean> {
  if (agenda.full) return false;
  if (agenda.unread.length === 0) {
    if (agenda.until - now > agenda.horizon_ms / 2) return false;
    const from = Math.max(agenda.until + 1, now);
    const until = now + agenda.horizon_ms;
    const found = await findSoonDue(deps.database, from, until, agenda.capacity);
    agenda.unread = found.map(({ id }) => id);
    // Those of the same instant that there was no room for are fire's to claim.
    agenda.until = found.length < agenda.capacity ? until : found.at(-1)!.next_run_at;
    return found.length > 0;
  }
  const ids = agenda.unread.splice(0, large ? LARGE_CHUNK : CHUNK);
  const read = await readSoonDue(deps.database, ids);
  for (const schedule of read) agenda.add(schedule);
  return agenda.unread.length > 0;
}
