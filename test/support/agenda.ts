import type { TestService } from "./service.ts";

/**
 * Names of schedules that would never be looked at: whatever is enabled, planned and due at an instant stands on the agenda by then, or
 * within the seconds after which what was held is looked at again.
 */
export async function forgotten(service: TestService): Promise<string[]> {
  const rows = await service.rows<{ name: string }>(
    `SELECT s.name FROM schedules s
     WHERE s.next_run_at IS NOT NULL AND s.enabled AND NOT s.needs_planning AND NOT EXISTS (
       SELECT FROM agenda a WHERE s.id = ANY (a.schedule_ids)
         AND a.next_run_at <= greatest(s.next_run_at, pocketwatch_now() + interval '3 seconds'))
     ORDER BY s.name`,
  );
  return rows.map(({ name }) => name);
}
