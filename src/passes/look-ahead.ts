import { type AgendaEntry, findSoonDue } from "../database/agenda-entries.ts";
import { readSoonDue } from "../database/foreseen-schedules.ts";
import type { Deps } from "../deps.ts";
import type { Instant } from "../schedule/instant.ts";
import type { Outlook } from "./outlook.ts";

/** Schedules read at once: a few ms of work, by which one that falls due meanwhile may be late. */
const CHUNK = 250;
/**
 * Where nothing falls due meanwhile; or fire is behind already: as many as fall due in a pass, or reading would never get
 * ahead of it.
 */
const LARGE_CHUNK = 1_000;

/**
 * Decides ahead what will become of the schedules due within the next seconds, so that at their instant it only has to be
 * written. Goes by windows that follow each other: first finds out which schedules stand on the agenda for one, then reads them a
 * chunk at a time, each once.
 * @param now the database's instant
 * @param large nothing falls due meanwhile, or fire is behind: a large chunk is read
 * @returns whether there is more to read at once
 */
export async function lookAhead(deps: Deps, outlook: Outlook, now: Instant, large: boolean): Promise<boolean> {
  if (outlook.full) return false;
  if (outlook.unread.length === 0) {
    if (outlook.until - now > outlook.horizon_ms / 2) return false;
    const from = Math.max(outlook.until + 1, now);
    const until = now + outlook.horizon_ms;
    outlook.unread = await findSoonDue(deps.database, from, until, outlook.capacity);
    const [last] = outlook.unread.slice(-1);
    // Those of the same instant that there was no room for are fire's to claim.
    outlook.until = last === undefined || size(outlook.unread) < outlook.capacity ? until : last.next_run_at;
    return last !== undefined;
  }
  const entries = takeFirst(outlook.unread, large ? LARGE_CHUNK : CHUNK);
  const read = await readSoonDue(
    deps.database,
    entries.flatMap((entry) => entry.schedule_ids),
  );
  const soon = new Map(read.map((schedule) => [schedule.id, schedule]));
  for (const entry of entries) {
    for (const id of entry.schedule_ids) {
      const schedule = soon.get(id);
      if (schedule?.next_run_at !== entry.next_run_at) continue;
      outlook.add(schedule, entry.id);
      soon.delete(id); // It may have been moved away from the instant and back.
    }
  }
  return outlook.unread.length > 0;
}

const size = (entries: readonly AgendaEntry[]) =>
  entries.reduce((total, { schedule_ids }) => total + schedule_ids.length, 0);

/** Takes entries with at least so many schedules off the front. */
function takeFirst(entries: AgendaEntry[], least: number): AgendaEntry[] {
  let count = 0;
  let schedules = 0;
  while (count < entries.length && schedules < least) {
    schedules += entries[count]!.schedule_ids.length;
    count += 1;
  }
  return entries.splice(0, count);
}
