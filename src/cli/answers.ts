import type { z } from "zod";
import type { attemptAnswer, runAnswer } from "../http/run-answer.ts";
import type { scheduleAnswer } from "../http/schedule-answer.ts";

/* What the service answers, as far as the command line reads it. Types only: the server's code stays on the server. */

export type Schedule = z.output<typeof scheduleAnswer>;
export type Run = z.output<typeof runAnswer>;
export type RunDetail = Run & { readonly attempts: readonly z.output<typeof attemptAnswer>[] };

export interface Occurrences {
  readonly occurrences: readonly string[];
  readonly dst: readonly { readonly at: string; readonly effect: "gap" | "fold" }[];
  /** For a change to a schedule. */
  readonly appear?: readonly string[];
  readonly vanish?: readonly string[];
}

export interface BulkAnswer {
  readonly dry_run: boolean;
  readonly matched: number;
  readonly items: readonly {
    readonly name: string;
    readonly run_id: string | null;
    readonly cancelling: number | null;
    readonly problem: string | null;
  }[];
}

export interface Pool {
  readonly name: string;
  readonly max_in_flight: number | null;
  readonly drained: boolean;
  readonly in_flight: number;
  readonly idle: number | null;
  readonly waiting: { readonly high: number; readonly normal: number; readonly low: number; readonly total: number };
}

export interface Action {
  readonly name: string;
  readonly version: number;
  readonly title: string | null;
  readonly description: string | null;
  readonly routing_key: string;
  readonly pool: string | null;
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly schema: object;
  readonly queue: { readonly name: string; readonly messages: number | null; readonly consumers: number | null };
}

export interface Actions {
  readonly items: readonly Action[];
  readonly problems?: readonly { readonly action: string; readonly message: string }[];
}

export interface Reloaded {
  readonly instance: string;
  readonly planned: number;
  readonly problems: readonly {
    readonly action: string | null;
    readonly schedule_id: string | null;
    readonly message: string;
  }[];
}

export interface SchedulerStatus {
  readonly state: "running" | "drained";
  readonly now: string;
  readonly oldest_overdue_at: string | null;
  readonly overdue: number;
  readonly to_plan: number;
  readonly waiting: number;
  readonly pending: number;
  readonly oldest_pending_at: string | null;
  readonly in_flight: number;
  readonly outbox: { readonly count: number; readonly oldest_at: string | null };
  readonly broker: { readonly publishing: string; readonly consuming: string } | null;
  readonly instances: readonly {
    readonly id: string;
    readonly version: string;
    readonly alive: boolean;
    readonly last_seen_at: string | null;
    readonly broker: string;
    readonly passes: Readonly<Record<string, { readonly last_error: string | null }>>;
  }[];
}

interface Spread {
  readonly count: number;
  readonly average: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface Statistics {
  readonly from: string;
  readonly to: string;
  readonly total: number;
  readonly by_status: Readonly<Record<string, number>>;
  readonly by_reason: Readonly<Record<string, number>>;
  readonly success_rate: number | null;
  readonly duration_seconds: Spread;
  readonly lateness_seconds: Spread;
}

export interface Breaker {
  readonly key: string;
  readonly action: string;
  readonly state: "closed" | "open" | "half_open";
  readonly failures: number;
  readonly threshold: number;
  readonly trips: number;
  readonly opened_at: string | null;
  readonly held: number;
}

export interface DeadLetter {
  readonly id: string;
  readonly queue: string;
  readonly reason: string | null;
  readonly type: string | null;
  readonly died_at: string | null;
}

export interface Backfilled {
  readonly dry_run: boolean;
  readonly created: number;
  readonly existing: number;
  readonly occurrences: readonly string[];
}
