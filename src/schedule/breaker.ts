import type { Instant } from "./instant.ts";
import type { BreakerPolicy } from "./policy.ts";
import type { RunState } from "./run-transitions.ts";

/** What an action's contract says about its circuit breakers. */
export interface BreakerContract {
  readonly key: string;
  readonly threshold: number;
  readonly cooldown_seconds: number;
}

/** The contract as it travels in the policy of each run: whoever counts a failure needs no contracts at hand. */
export function breakerPolicy(contract: BreakerContract | null): BreakerPolicy {
  if (contract === null) return {};
  const { key, threshold, cooldown_seconds } = contract;
  return { breaker: key, breaker_threshold: threshold, breaker_cooldown_seconds: cooldown_seconds };
}

/**
 * The circuit breaker that a run belongs to, or null: the action with its target, or with what a JSON pointer finds in the
 * payload, a URL standing for its host (one broken page says nothing about a site, a broken host does).
 *
 * @param key `"target"` or a JSON pointer (RFC 6901), from the action's contract
 */
export function breakerKey(
  action: string,
  key: string | undefined,
  payload: unknown,
  target: string | null,
): string | null {
  if (key === undefined) return null;
  if (key === "target") return target === null ? null : `${action}:${target}`;
  const value = pointedAt(payload, key);
  if (typeof value !== "string" && typeof value !== "number") return null;
  return `${action}:${hostOf(String(value))}`;
}

function pointedAt(value: unknown, pointer: string): unknown {
  let current = value;
  for (const part of pointer.slice(1).split("/")) {
    if (typeof current !== "object" || current === null) return undefined;
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    current = Object.hasOwn(current, name) ? (current as Record<string, unknown>)[name] : undefined;
  }
  return current;
}

function hostOf(text: string): string {
  return URL.canParse(text) ? new URL(text).host || text : text;
}

/** A row of `breakers`. */
export interface Breaker {
  readonly key: string;
  readonly state: "closed" | "open" | "half_open";
  /** Failures in a row. */
  readonly failures: number;
  readonly threshold: number;
  readonly cooldown_seconds: number;
  /** How often it has opened. */
  readonly trips: number;
  readonly opened_at: Instant | null;
  /** The one run that may go out while it is half open; null: the next one to be dispatched. */
  readonly probe_run_id: string | null;
}

/** `neither`: the attempt ended without saying anything about what the breaker guards. */
export interface BreakerOutcome {
  readonly run_id: string;
  readonly outcome: "success" | "failure" | "neither";
}

/** What the end of an attempt says about its breaker; null: it has not ended. */
export function outcomeOf(attempt: RunState): BreakerOutcome["outcome"] | null {
  if (attempt.completed_at === null) return null;
  if (attempt.status === "completed") return "success";
  // An attempt that never started (no consumer, rejected by the broker) is not the fault of what it was to work on.
  return attempt.status === "failed" && attempt.started_at !== null ? "failure" : "neither";
}

/** The breaker after one attempt ended. */
export function countOutcome(breaker: Breaker, { run_id, outcome }: BreakerOutcome, now: Instant): Breaker {
  if (outcome === "success") return closed(breaker);
  const isProbe = breaker.state === "half_open" && breaker.probe_run_id === run_id;
  if (outcome === "neither") return isProbe ? { ...breaker, probe_run_id: null } : breaker;
  // Closed by hand, which leaves the old count: it starts anew.
  const before = breaker.state === "closed" && breaker.opened_at !== null ? closed(breaker) : breaker;
  const failed = { ...before, failures: before.failures + 1 };
  if (isProbe) return opened(failed, now);
  if (breaker.state === "closed" && failed.failures >= failed.threshold) return opened(failed, now);
  // Stragglers that went out before it opened say nothing new, and must not put the next probe off.
  return failed;
}

/** Closed, with nothing against it. */
export function closed(breaker: Breaker): Breaker {
  return { ...breaker, state: "closed", failures: 0, opened_at: null, probe_run_id: null };
}

function opened(breaker: Breaker, now: Instant): Breaker {
  return { ...breaker, state: "open", opened_at: now, probe_run_id: null, trips: breaker.trips + 1 };
}

/** Which of the runs about to go out are held, and which becomes the probe of which breaker. */
export function decideHolds(
  runs: readonly { readonly id: string; readonly breaker_key: string | null }[],
  breakers: readonly Pick<Breaker, "key" | "state" | "probe_run_id">[],
): { readonly held: readonly string[]; readonly probes: ReadonlyMap<string, string> } {
  const byKey = new Map(breakers.map((breaker) => [breaker.key, breaker]));
  const probes = new Map<string, string>();
  const held: string[] = [];
  for (const { id, breaker_key } of runs) {
    const breaker = byKey.get(breaker_key ?? "");
    if (breaker === undefined || breaker.state === "closed") continue;
    const probe = breaker.state === "open" ? null : (breaker.probe_run_id ?? probes.get(breaker.key) ?? id);
    if (probe !== id) held.push(id);
    else if (breaker.probe_run_id === null) probes.set(breaker.key, id);
  }
  return { held, probes };
}
