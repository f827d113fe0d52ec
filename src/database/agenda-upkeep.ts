import type { Statement, Tx } from "./connection.ts";

const ENTER_FORGOTTEN: Statement = {
  name: "enter_forgotten",
  text: `
    WITH forgotten AS (
      SELECT id FROM (SELECT * FROM schedules WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2) AS chunk
      WHERE next_run_at < pocketwatch_now() - interval '5 minutes' AND enabled AND NOT needs_planning
    ), entered AS (
      INSERT INTO agenda (next_run_at, schedule_ids)
      SELECT pocketwatch_now(), array_agg(id) FROM forgotten HAVING count(*) > 0
    )
    SELECT id FROM forgotten`,
};

/**
 * Enters those of the next `chunk` schedules that should have fired five minutes ago: the agenda does not know them, since somebody
 * wrote with triggers off or emptied it; or fire is far behind, and passes them over the second time.
 * @returns how many
 */
export async function enterForgotten(tx: Tx, after: string | null, chunk: number): Promise<number> {
  return (await tx.query(ENTER_FORGOTTEN, [after, chunk])).length;
}

// A schedule that is moved to the instant by somebody who has not committed yet is entered by them as well.
const SWEEP: Statement = {
  name: "sweep_agenda",
  text: `
    WITH chunk AS MATERIALIZED (
      SELECT a.ctid AS place, a.* FROM agenda a
      WHERE (a.next_run_at, a.id) > ($1::timestamptz, $2::uuid) AND a.next_run_at > pocketwatch_now() + interval '1 minute'
      ORDER BY a.next_run_at, a.id LIMIT $3
    ), swept AS (
      DELETE FROM agenda WHERE ctid = ANY (ARRAY(
        SELECT c.place FROM chunk c
        WHERE NOT EXISTS (
          SELECT FROM unnest(c.schedule_ids) AS e (id) JOIN schedules s ON s.id = e.id AND s.next_run_at = c.next_run_at)))
    )
    SELECT next_run_at::text AS at, id FROM chunk ORDER BY next_run_at, id`,
};

/** Where in the agenda: an entry's key, as Postgres writes it. */
export interface AgendaPlace {
  readonly at: string;
  readonly id: string;
}

export const BEGINNING: AgendaPlace = { at: "-infinity", id: "00000000-0000-0000-0000-000000000000" };
export const END: AgendaPlace = { at: "infinity", id: "ffffffff-ffff-ffff-ffff-ffffffffffff" };

/**
 * Removes those of the next `chunk` entries whose schedules have all been moved away or deleted: a schedule that is put off every
 * second until next month would leave millions.
 * @returns the last of them, or `END`
 */
export async function sweepAgenda(tx: Tx, after: AgendaPlace, chunk: number): Promise<AgendaPlace> {
  const looked = await tx.query<AgendaPlace>(SWEEP, [after.at, after.id, chunk]);
  return looked.length < chunk ? END : looked.at(-1)!;
}
