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
