import type { Logger } from "pino";
import type { Instant } from "../schedule/instant.ts";
import type { Clock } from "./clock.ts";

/** What a pass did, as far as its loop needs to know. */
export interface PassResult {
  /** It stopped at its bound, so there is more to do at once. */
  readonly full: boolean;
  /** Milliseconds until something is due, computed by Postgres; null: nothing known, the poll decides. */
  readonly next_in_ms: number | null;
}

export interface LoopReport {
  readonly last_run_at: Instant | null;
  readonly last_duration_ms: number | null;
  readonly last_error: string | null;
  readonly runs: number;
}

export interface Loop {
  readonly name: string;
  /** Runs the pass again as soon as possible; a wake-up during a run is not lost. */
  wake(): void;
  /** Ends after the pass in hand. May be called twice. */
  stop(): Promise<void>;
  readonly report: LoopReport;
}

export interface LoopOptions {
  readonly name: string;
  readonly pass: () => Promise<PassResult>;
  readonly poll_ms: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observe?: (name: string, seconds: number, failed: boolean) => void;
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;

/**
 * Repeats a pass: again at once while it comes back full, otherwise asleep until the next due instant, a wake-up or the
 * poll interval, whichever is first. A pass that throws is logged and repeated with capped backoff; wake-ups do not
 * shorten that, or a busy system would turn its own failure into a spin.
 */
export function startLoop(options: LoopOptions): Loop {
  const { name, clock } = options;
  const logger = options.logger.child({ pass: name });
  const stopping = new AbortController();
  let woken = true;
  let interrupt = new AbortController();
  let failures = 0;
  let report: LoopReport = { last_run_at: null, last_duration_ms: null, last_error: null, runs: 0 };

  async function once(): Promise<number> {
    const began = clock.monotonic();
    let error: unknown = null;
    let sleep = options.poll_ms;
    try {
      const result = await options.pass();
      failures = 0;
      // One more millisecond: waking a fraction before the instant would only mean asking twice.
      if (result.next_in_ms !== null) sleep = Math.min(sleep, Math.max(0, Math.ceil(result.next_in_ms)) + 1);
      if (result.full) sleep = 0;
    } catch (caught) {
      error = caught;
      sleep = Math.min(FIRST_BACKOFF_MS * 2 ** failures++, LONGEST_BACKOFF_MS);
      logger.error({ err: caught, retry_in_ms: sleep }, "a pass failed and will be repeated");
    }
    const duration = clock.monotonic() - began;
    options.observe?.(name, duration / 1_000, error !== null);
    report = {
      last_run_at: clock.now(),
      last_duration_ms: Math.round(duration * 1_000) / 1_000,
      last_error: error === null ? null : error instanceof Error ? error.message : String(error),
      runs: report.runs + 1,
    };
    return sleep;
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      woken = false;
      const sleep = await once();
      if (stopping.signal.aborted) return;
      if (failures > 0) {
        await clock.sleep(sleep, stopping.signal);
      } else if (!woken && sleep > 0) {
        interrupt = new AbortController();
        await clock.sleep(sleep, interrupt.signal);
      }
    }
  }

  const finished = run();
  return {
    name,
    wake() {
      woken = true;
      interrupt.abort();
    },
    async stop() {
      stopping.abort();
      interrupt.abort();
      await finished;
    },
    get report() {
      return report;
    },
  };
}
