import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import { backoff } from "./backoff.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { type Delivery, flushAcks, type Held, Judged, settle } from "./delivery.ts";

export interface InboxDeps {
  readonly prefetch: number;
  readonly batch_size: number;
  readonly linger_ms?: number;
  handle(batch: readonly Delivery[]): Promise<void>;
  /** Handling has failed for so long that somebody else should have the messages. */
  giveBack(): void;
  readonly deadLetters: DeadLetters;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stopping: AbortSignal;
}

/** What has been received and not been handled. */
export interface Inbox {
  put(held: Held): void;
  /** Resolves after `stopping` has aborted, once no batch is in hand. */
  readonly emptied: Promise<void>;
}

const RETRY_LATER_MS = 1_000;
/** For how long a failure is taken to be a passing one. */
const PATIENCE_MS = 2_000;

/**
 * Hands messages over in batches, one at a time. It outlives the channels they came over, so that a reconnect does not
 * put a second batch in hand beside one that is still being written to the database.
 */
export function createInbox(deps: InboxDeps): Inbox {
  const { prefetch, batch_size, linger_ms = 0, deadLetters, clock, logger, stopping } = deps;
  const arrived: Held[] = [];
  const later: (Held & { readonly due: number; readonly reason: string })[] = [];
  let ring = () => {};
  stopping.addEventListener("abort", () => ring());

  async function run(): Promise<void> {
    while (!stopping.aborted) {
      if (linger_ms > 0 && arrived.length > 0) await gather();
      const batch = take();
      if (batch.length > 0) await hand(batch);
      else if (arrived.length === 0) await rest((later[0]?.due ?? Number.POSITIVE_INFINITY) - clock.monotonic());
    }
  }

  /** Until the batch is full or has waited long enough. */
  async function gather(): Promise<void> {
    const until = clock.monotonic() + linger_ms;
    while (arrived.length < batch_size && !stopping.aborted) {
      const left = until - clock.monotonic();
      if (left <= 0) return;
      await rest(left);
    }
  }

  /** Until something arrives, or so many ms have passed. */
  function rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        ring = () => {};
        resolve();
      };
      const cancel = ms < Number.POSITIVE_INFINITY ? clock.after(Math.max(0, ms), wake) : () => {};
      ring = wake;
    });
  }

  /** The next batch, without what came over a channel that is gone: that is delivered again. */
  function take(): Held[] {
    const now = clock.monotonic();
    const batch: Held[] = [];
    while (batch.length < batch_size && later[0] && later[0].due <= now) batch.push(later.shift() as Held);
    batch.push(...arrived.splice(0, batch_size - batch.length));
    return batch.filter(({ tap }) => tap.alive);
  }

  /**
   * Hands a batch over until it is handled. A failure is the database's; the messages are not to blame for it. One that
   * lasts may be this process's alone, so they go back to the broker for an instance that can reach its database.
   */
  async function hand(batch: readonly Held[]): Promise<void> {
    const began = clock.monotonic();
    for (let failures = 0; !stopping.aborted; failures++) {
      const judged = batch.filter(({ tap }) => tap.alive).map((held) => new Judged(held));
      if (judged.length === 0) return;
      try {
        await deps.handle(judged);
        conclude(judged);
        return;
      } catch (error) {
        const wait_ms = Math.round(backoff(failures));
        logger.error({ err: error, messages: judged.length, wait_ms }, "handling failed; trying again");
        if (clock.monotonic() - began > PATIENCE_MS) deps.giveBack();
        await clock.sleep(wait_ms, stopping);
      }
    }
  }

  /** Does what the handler has said, now that it is committed. */
  function conclude(judged: readonly Judged[]): void {
    const due = clock.monotonic() + RETRY_LATER_MS;
    for (const { held, verdict } of judged) {
      if (!held.tap.alive) continue;
      if (verdict.kind === "ack") settle(held);
      else if (verdict.kind === "dead") deadLetters.add(held, verdict.reason);
      else later.push({ ...held, due, reason: verdict.reason });
    }
    flushAcks(new Set(judged.map(({ held }) => held.tap)));
    // What waits to be tried again must leave room for what arrives: the broker sends no more than `prefetch`.
    while (later.length > prefetch / 2) {
      const oldest = later.shift();
      if (oldest?.tap.alive) deadLetters.add(oldest, `${oldest.reason} (given up early: too many are being retried)`);
    }
  }

  const emptied = run();
  return {
    put(held) {
      arrived.push(held);
      ring();
    },
    emptied,
  };
}
