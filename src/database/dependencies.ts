import type { FieldError } from "../schedule/errors.ts";
import type { Statement, Tx } from "./connection.ts";

// Walks the dependencies of the given schedules. UNION (not ALL) ends the walk where it meets what it has seen.
const REACHABLE: Statement = {
  name: "reachable_dependencies",
  text: `
    WITH RECURSIVE reach (root, id) AS (
      SELECT s.id, d.id FROM schedules s, unnest(s.depends_on) AS d (id) WHERE s.id = ANY($1::uuid[])
      UNION
      SELECT reach.root, d.id FROM reach JOIN schedules s ON s.id = reach.id, unnest(s.depends_on) AS d (id)
    )
    SELECT root, id, EXISTS (SELECT FROM schedules s WHERE s.id = reach.id) AS known FROM reach`,
};

/** What is wrong with the dependencies of these schedules: unknown ones, and chains that lead back to themselves. */
export async function dependencyErrors(
  tx: Tx,
  schedules: readonly { readonly id: string; readonly depends_on: readonly string[] }[],
): Promise<Map<string, FieldError[]>> {
  const errors = new Map<string, FieldError[]>();
  const dependent = schedules.filter((schedule) => schedule.depends_on.length > 0);
  if (dependent.length === 0) return errors;
  const rows = await tx.query<{ root: string; id: string; known: boolean }>(REACHABLE, [dependent.map(({ id }) => id)]);
  const direct = new Map(dependent.map((schedule) => [schedule.id, schedule.depends_on]));
  for (const { root, id, known } of rows) {
    const own = errors.get(root) ?? [];
    if (id === root) own.push({ field: "depends_on", message: "the schedule would wait for itself (a cycle)" });
    else if (!known && direct.get(root)?.includes(id))
      own.push({ field: "depends_on", message: `there is no schedule ${id}` });
    if (own.length > 0) errors.set(root, own);
  }
  return errors;
}
