import { setMaxListeners } from "node:events";
import type { ChannelModel } from "amqplib";
import type { Logger } from "pino";
import type { TlsFiles } from "../access/tls.ts";
import type { Clock } from "../runtime/clock.ts";
import { backoff } from "./backoff.ts";
import { type Established, establish } from "./establish.ts";
import { rawConnection } from "./raw-connection.ts";
import { reasonOf } from "./reply.ts";

export type ConnectionState = "connecting" | "connected" | "blocked" | "closed";

/** One established connection, until it is lost. */
export interface Link {
  readonly model: ChannelModel;
  /** Aborts when the connection is gone, for whatever reason. */
  readonly lost: AbortSignal;
}

/**
 * What an owner of channels does with a link: opens them, and settles when it is lost or a channel of its own has
 * closed. A session that ends while the link lives is started again, with backoff.
 */
export type Session = (link: Link) => Promise<void>;

/** One AMQP connection that is brought back whenever it drops. */
export interface SupervisedConnection {
  readonly state: ConnectionState;
  /** The link at this moment, also while it is blocked. */
  readonly link: Link | null;
  /** Calls back after every change of `state`; the returned function ends that. */
  onChange(listener: () => void): () => void;
  /** Runs the session on every link, until the returned function is called. */
  hold(name: string, session: Session): () => void;
  /** Ends the connection and all sessions, within `timeout_ms` even on a dead link. May be called twice. */
  close(timeout_ms: number): Promise<void>;
}

export interface ConnectionDeps {
  readonly url: string;
  readonly tls?: TlsFiles | undefined;
  /** Shown by the broker and in the log. */
  readonly name: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A link or a session that lived this long was sound: the next failure starts from the shortest wait. */
const SOUND_MS = 5_000;

/**
 * Keeps a connection open. amqplib's own `recovery` is not used: a connection that the broker closes in the breath in
 * which it opens it is kept by it as established for ever (the `close` event fires before `recovery` listens).
 */
export function superviseConnection(deps: ConnectionDeps): SupervisedConnection {
  const { clock } = deps;
  const logger = deps.logger.child({ connection: deps.name });
  const listeners = new Set<() => void>();
  const arrivals = new Set<(link: Link) => void>();
  const closing = new AbortController();
  let state: ConnectionState = "connecting";
  let link: Link | null = null;

  function become(next: ConnectionState): void {
    if (state === next || state === "closed") return;
    state = next;
    for (const listener of [...listeners]) {
      try {
        listener();
      } catch (error) {
        // Thrown on, it would reach amqplib's frame loop, which takes the connection down for it.
        logger.error({ err: error }, "listener of the connection's state failed");
      }
    }
  }

  async function run(): Promise<void> {
    for (let failures = 0; !closing.signal.aborted; failures++) {
      const started = clock.monotonic();
      try {
        const cause = await serve(await establish(deps));
        if (!closing.signal.aborted) logger.warn({ reason: reasonOf(cause) }, "connection to RabbitMQ lost");
      } catch (error) {
        // Not the error itself: one about the URL carries the password.
        if (!closing.signal.aborted) logger.warn({ reason: reasonOf(error) }, "cannot connect to RabbitMQ");
      }
      if (clock.monotonic() - started > SOUND_MS) failures = 0;
      await clock.sleep(backoff(failures), closing.signal);
    }
  }

  /** Until the connection has ended; resolves to the cause. */
  async function serve({ model, ended }: Established): Promise<unknown> {
    if (closing.signal.aborted) {
      rawConnection(model).stream.destroy(new Error("closed while connecting"));
      return ended;
    }
    model.on("blocked", (reason) => {
      logger.warn({ reason }, "RabbitMQ blocks publishing");
      become("blocked");
    });
    model.on("unblocked", () => {
      logger.info("RabbitMQ takes messages again");
      become("connected");
    });
    const lost = new AbortController();
    // Every consumer and every lane listens to it.
    setMaxListeners(0, lost.signal);
    const current: Link = { model, lost: lost.signal };
    link = current;
    logger.info("connected to RabbitMQ");
    become(rawConnection(model).blocked ? "blocked" : "connected");
    for (const arrive of [...arrivals]) arrive(current);
    const cause = await ended;
    link = null;
    become("connecting");
    lost.abort();
    return cause;
  }

  /** The link, or the next one; `null` when there will be none. */
  function nextLink(released: AbortSignal): Promise<Link | null> {
    if (released.aborted) return Promise.resolve(null);
    if (link && !link.lost.aborted) return Promise.resolve(link);
    return new Promise((resolve) => {
      const settle = (arrived: Link | null) => {
        arrivals.delete(settle);
        released.removeEventListener("abort", none);
        resolve(arrived);
      };
      const none = () => settle(null);
      arrivals.add(settle);
      released.addEventListener("abort", none);
    });
  }

  async function holdSession(name: string, session: Session, released: AbortSignal): Promise<void> {
    for (let current = await nextLink(released); current; current = await nextLink(released)) {
      const over = AbortSignal.any([current.lost, released]);
      for (let failures = 0; !over.aborted; failures++) {
        const started = clock.monotonic();
        try {
          await session(current);
        } catch (error) {
          if (!over.aborted) logger.warn({ err: error, session: name }, "session on RabbitMQ failed; trying again");
        }
        if (clock.monotonic() - started > SOUND_MS) failures = 0;
        if (!over.aborted) await clock.sleep(backoff(failures), over);
      }
    }
  }

  const running = run();
  let closed: Promise<void> | null = null;

  return {
    get state() {
      return state;
    },
    get link() {
      return link;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    hold(name, session) {
      const release = new AbortController();
      void holdSession(name, session, AbortSignal.any([release.signal, closing.signal]));
      return () => release.abort();
    },
    close(timeout_ms) {
      closed ??= (async () => {
        const model = link?.model;
        closing.abort();
        if (model) {
          const timer = new AbortController();
          // On a dead link amqplib's close() never settles; on one that is closed already it rejects.
          await Promise.race([model.close().catch(() => undefined), clock.sleep(timeout_ms, timer.signal)]);
          timer.abort();
          rawConnection(model).stream.destroy(new Error("closed"));
          await running;
        }
        become("closed");
      })();
      return closed;
    },
  };
}
