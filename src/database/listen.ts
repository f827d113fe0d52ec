import pg from "pg";
import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import { SESSION } from "./connection.ts";

const CHANNEL = "pocketwatch";
const RECONNECT_MS = 1_000;
// LISTEN hears nothing of a link that silently died; a question now and then does.
const ALIVE_CHECK_MS = 10_000;
const ANSWER_TIMEOUT_MS = 5_000;

export interface Listener {
  stop(): Promise<void>;
}

export interface ListenOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What was notified, or null after (re)connecting: whatever happened meanwhile was not heard. */
  readonly onWake: (topic: string | null) => void;
}

/** Hears of edits made by anyone. A notification only ever makes a pass run early, so a lost one costs a poll. */
export function listen(options: ListenOptions): Listener {
  const { clock, logger } = options;
  const stopping = new AbortController();

  async function session(): Promise<void> {
    const client = new pg.Client({
      ...SESSION,
      query_timeout: ANSWER_TIMEOUT_MS,
      application_name: "pocketwatch listen",
      connectionString: options.url,
    });
    const lost = new AbortController();
    const over = new Promise<void>((resolve) => lost.signal.addEventListener("abort", () => resolve(), { once: true }));
    client.on("error", () => lost.abort());
    client.on("end", () => lost.abort());
    client.on("notification", (message) => options.onWake(message.payload ?? null));
    const stop = () => lost.abort();
    stopping.signal.addEventListener("abort", stop, { once: true });
    try {
      // A stop does not wait for the answers of a server that gives none.
      await Promise.race([client.connect(), over]);
      await Promise.race([client.query(`LISTEN ${CHANNEL}`), over]);
      options.onWake(null);
      while (!lost.signal.aborted) {
        await clock.sleep(ALIVE_CHECK_MS, lost.signal);
        if (!lost.signal.aborted) await Promise.race([client.query("SELECT 1"), over]);
      }
    } finally {
      stopping.signal.removeEventListener("abort", stop);
      // end() waits for a goodbye that a dead link never says.
      await Promise.race([client.end().catch(() => {}), clock.sleep(1_000)]);
    }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await session();
      } catch (error) {
        logger.warn({ err: error }, "not listening for edits: the database is away");
      }
      await clock.sleep(RECONNECT_MS, stopping.signal);
    }
  }

  const finished = run();
  return {
    async stop() {
      stopping.abort();
      await finished;
    },
  };
}
