/*
 * Points at which a test may make this process die or stand still. Nothing arms them but the variable FAILPOINT, which
 * the fault rig sets (test/faults); everywhere else a failpoint costs one comparison.
 */

/** The gaps in which a crash could lose or repeat something, in the order in which a run meets them. */
export const FAILPOINTS = [
  "fire_uncommitted",
  "expand_uncommitted",
  "expand_committed",
  "dispatch_uncommitted",
  /** Runs are committed as dispatched, nothing is published yet. */
  "lease_committed",
  /** The broker has confirmed, the lease still stands. */
  "publish_confirmed",
  "ingest_uncommitted",
  /** Status updates are committed, their messages not acknowledged. */
  "ingest_committed",
  "relay_claimed",
  /** The broker has confirmed, the outbox rows still stand. */
  "relay_confirmed",
] as const;
export type FailpointName = (typeof FAILPOINTS)[number];

/** `kill`: SIGKILL. `pause`: SIGSTOP, until a SIGCONT. `block`: the event loop stands still for 5 s. */
export const FAILPOINT_ACTIONS = ["kill", "pause", "block"] as const;
export type FailpointAction = (typeof FAILPOINT_ACTIONS)[number];

export interface Failpoint {
  readonly name: FailpointName;
  readonly action: FailpointAction;
  /** Acts the n-th time it is reached, and only then. */
  readonly nth: number;
}

const BLOCK_MS = 5_000;

let armed: Failpoint | null = null;
let reached = 0;

export function armFailpoint(failpoint: Failpoint | null): void {
  armed = failpoint;
  reached = 0;
}

export function failpoint(name: FailpointName): void {
  if (armed === null || armed.name !== name) return;
  reached += 1;
  if (reached !== armed.nth) return;
  if (armed.action === "kill") process.kill(process.pid, "SIGKILL");
  else if (armed.action === "pause") process.kill(process.pid, "SIGSTOP");
  else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCK_MS);
}
