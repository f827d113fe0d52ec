import { readSoonDue } from "../database/foreseen-schedules.ts";
import type { Deps } from "../deps.ts";
import type { Instant } from "../schedule/instant.ts";
import type { Agenda } from "./agenda.ts";

/** Most schedules read at once: a few ms of work, by which one that falls due meanwhile may be late. */
const CHUNK = 250;

/**
 * Decides ahead what will become of the schedules due within the next seconds, so that at their instant it only has to be
 * written. Reads them in windows that follow each other, a chunk at a time, each schedule once.
 * @param now the database's instant
 * @returns whether there is more to read at once
 */
export async function lookAhead(deps: Deps, agenda: Agenda, now: Instant): Promise<boolean> {
  if (agenda.full) return false;
  if (agenda.position.at > agenda.until) {
    if (agenda.until - now > agenda.horizon_ms / 2) return false;
    agenda.position = { at: agenda.until + 1, skip: 0 };
    agenda.until = now + agenda.horizon_ms;
  }
  // What is due by now is fire's.
  const { at, skip } = agenda.position.at < now ? { at: now, skip: 0 } : agenda.position;
  const read = await deps.database.transaction((tx) => readSoonDue(tx, at, agenda.until, skip, CHUNK));
  // Instances that are up to the same burst take its chunks in an order of their own, so as not to meet at each.
  const turn = Math.random();
  for (const [index, schedule] of read.entries()) agenda.add(schedule, turn + index * Number.EPSILON);
  const last = read.at(-1);
  if (last === undefined || read.length < CHUNK) {
    agenda.position = { at: agenda.until + 1, skip: 0 };
    return false;
  }
  const ties = read.filter((schedule) => schedule.next_run_at === last.next_run_at).length;
  agenda.position = { at: last.next_run_at, skip: last.next_run_at === at ? skip + ties : ties };
  return true;
}
