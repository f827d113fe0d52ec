import type { TestService } from "./service.ts";

/** Inserts a schedule as an administrator would, with SQL; answers its id. Defaults to a valid minutely scout. */
export async function addSchedule(service: TestService, columns: Record<string, unknown> = {}): Promise<string> {
  const row: Record<string, unknown> = {
    name: `schedule ${Math.random().toString(36).slice(2)}`,
    kind: "cron",
    action: "scout.trigger",
    payload: { source: "stratninja", max_strategies: 5 },
    ...columns,
  };
  if (row.kind === "cron" && row.cron_expression === undefined) row.cron_expression = "* * * * *";
  const names = Object.keys(row);
  const values = names.map((name) => {
    const value = row[name];
    const isJson = ["payload", "labels", "calendar"].includes(name);
    return isJson ? JSON.stringify(value) : value;
  });
  const [inserted] = await service.rows<{ id: string }>(
    `INSERT INTO schedules (${names.join(", ")}) VALUES (${names.map((_, index) => `$${index + 1}`).join(", ")}) RETURNING id`,
    values,
  );
  return inserted!.id;
}

/** Inserts so many valid minutely scouts by one statement. */
export async function addSchedules(service: TestService, count: number, overlap: string | null = null): Promise<void> {
  await service.rows(
    `INSERT INTO schedules (name, kind, cron_expression, overlap, action, payload)
     SELECT 'many ' || n, 'cron', '* * * * *', $2, 'scout.trigger', '{"source": "s", "max_strategies": 5}'
     FROM generate_series(1, $1::int) AS n`,
    [count, overlap],
  );
}
