/** How a run is to be treated from its trigger to its end; a snapshot travels with every run. Durations are seconds. */
export interface Policy {
  readonly overlap: Overlap;
  readonly max_attempts: number;
  readonly retry_backoff_seconds: number;
  readonly retry_backoff_multiplier: number;
  readonly retry_backoff_max_seconds: number;
  readonly timeout_seconds: number;
  /** null: the consumer owes no heartbeat. */
  readonly heartbeat_seconds: number | null;
  readonly start_deadline_seconds: number;
  readonly priority: Priority;
  readonly pool: string;
  readonly notify_on: readonly string[];
}

/** A policy as it travels with a run: with what its action's contract says about breakers, where it says anything. */
export type RunPolicy = Policy & BreakerPolicy;

export interface BreakerPolicy {
  /** `"target"` or a JSON pointer (RFC 6901) into the payload. */
  readonly breaker?: string;
  readonly breaker_threshold?: number;
  readonly breaker_cooldown_seconds?: number;
}

export type Overlap = "allow" | "skip" | "buffer_one" | "buffer_all" | "cancel_previous";
/** 1 high, 2 normal, 3 low. */
export type Priority = 1 | 2 | 3;

export const PRIORITY_NAMES = { 1: "high", 2: "normal", 3: "low" } as const;
export type PriorityName = (typeof PRIORITY_NAMES)[Priority];
export const PRIORITIES: Readonly<Record<PriorityName, Priority>> = { high: 1, normal: 2, low: 3 };

export const DEFAULT_POLICY: Policy = {
  overlap: "skip",
  max_attempts: 3,
  retry_backoff_seconds: 30,
  retry_backoff_multiplier: 2,
  retry_backoff_max_seconds: 3_600,
  timeout_seconds: 7_200,
  heartbeat_seconds: null,
  start_deadline_seconds: 86_400,
  priority: 2,
  pool: "default",
  notify_on: ["failed"],
};

/** A policy with gaps: an absent or null value leaves the choice to whoever is asked next. */
export type PartialPolicy = { readonly [Key in keyof Policy]?: Policy[Key] | null | undefined };

/** Fills the gaps of `wish` (a schedule or a request) from `defaults` (its action), then from the service's defaults. */
export function resolvePolicy(wish: PartialPolicy, defaults: PartialPolicy): Policy {
  const policy: Record<string, unknown> = {};
  for (const key of Object.keys(DEFAULT_POLICY) as (keyof Policy)[]) {
    policy[key] = wish[key] ?? defaults[key] ?? DEFAULT_POLICY[key];
  }
  // 0 is how a schedule says "none" although its action has a default.
  if (policy.heartbeat_seconds === 0) policy.heartbeat_seconds = null;
  return policy as unknown as Policy;
}
