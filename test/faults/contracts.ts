import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FaultAction {
  readonly name: string;
  /** An exchange of its own. */
  readonly exchange?: string;
  readonly pool?: string;
  readonly defaults?: Record<string, unknown>;
}

export const ITEM = "work.item";
export const CAPPED = "work.capped";
export const APART = "work.apart";

/** A contracts folder with few actions: each costs three replicated queues per scenario. */
export async function writeContracts(prefix: string): Promise<{ directory: string; actions: FaultAction[] }> {
  const directory = await mkdtemp(join(tmpdir(), "pocketwatch-contracts-"));
  const defaults = { max_attempts: 3, retry_backoff_seconds: 1, timeout_seconds: 600 };
  const actions: FaultAction[] = [
    { name: ITEM, defaults },
    { name: CAPPED, pool: "capped", defaults },
    { name: APART, exchange: `${prefix}.apart`, defaults },
  ];
  for (const action of actions) {
    const folder = join(directory, "actions", action.name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "action.json"), JSON.stringify({ versions: [1], ...action }));
    await writeFile(join(folder, "v1.schema.json"), JSON.stringify({ type: "object" }));
  }
  return { directory, actions };
}
