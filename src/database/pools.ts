import type { Statement, Tx } from "./connection.ts";

const ENSURE: Statement = {
  name: "ensure_pools",
  text: "INSERT INTO pools (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
};

/** Creates the pools that actions name and nobody has made yet, uncapped: naming a pool must not break an action. */
export async function ensurePools(tx: Tx, names: readonly string[]): Promise<void> {
  await tx.query(ENSURE, [[...new Set(names)].sort()]);
}
