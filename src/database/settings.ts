import type { Statement, Tx } from "./connection.ts";

/** True where an operator has drained the whole scheduler. */
export const HELD = "EXISTS (SELECT FROM settings WHERE key = 'drained' AND value = 'true'::jsonb)";

const DISPATCH_HELD: Statement = { name: "dispatch_held", text: `SELECT ${HELD} AS held` };

/** Whether an operator has drained the whole scheduler: fire goes on recording, nothing is handed to the broker. */
export async function dispatchHeld(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ held: boolean }>(DISPATCH_HELD);
  return row!.held;
}

const SET: Statement = {
  name: "set_setting",
  text: `
    INSERT INTO settings (key, value) VALUES ($1, $2::jsonb)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp()`,
};

export async function setSetting(tx: Tx, key: string, value: unknown): Promise<void> {
  await tx.query(SET, [key, JSON.stringify(value)]);
}
