import { readFile } from "node:fs/promises";
import { type ChannelModel, connect } from "amqplib";
import type { TlsFiles } from "../access/tls.ts";
import type { Clock } from "../runtime/clock.ts";
import { rawConnection } from "./raw-connection.ts";
import { codeOf } from "./reply.ts";

export interface EstablishDeps {
  readonly url: string;
  /** For `amqps://`. */
  readonly tls?: TlsFiles | undefined;
  /** Shown by the broker. */
  readonly name: string;
  readonly clock: Clock;
}

export interface Established {
  readonly model: ChannelModel;
  /** Resolves to the cause when the connection has ended. */
  readonly ended: Promise<unknown>;
}

const HEARTBEAT_SECONDS = 10;
/** For the connection and for the first answer on it. */
const TIMEOUT_MS = 10_000;

/**
 * Connects to RabbitMQ, and makes sure that the connection is alive: amqplib hands one over as established although the
 * broker has closed it in the same breath, and its `close` event has passed by then. Rejects with the cause.
 */
export async function establish({ url, tls, name, clock }: EstablishDeps): Promise<Established> {
  const address = new URL(url);
  if (!address.searchParams.has("heartbeat")) address.searchParams.set("heartbeat", String(HEARTBEAT_SECONDS));
  const model = await connect(address.href, {
    noDelay: true,
    keepAlive: true,
    timeout: TIMEOUT_MS,
    clientProperties: { connection_name: name },
    ...(await readTls(tls)),
  });
  model.on("error", () => {
    // "close" follows, with the same cause.
  });
  const { stream } = rawConnection(model);
  // Every channel that waits for the socket listens to it.
  stream.setMaxListeners(0);
  const ended = new Promise<unknown>((resolve) => {
    model.on("close", (cause) => {
      // Without a word from the broker the peer may be dead, and a half-closed socket to it lingers for many minutes.
      if (codeOf(cause) === null) stream.destroy();
      resolve(cause);
    });
  });
  const cancel = clock.after(TIMEOUT_MS, () => stream.destroy(new Error("no answer to channel.open")));
  try {
    const probe = await model.createChannel();
    probe.on("error", () => undefined);
    await probe.close();
    return { model, ended };
  } catch (error) {
    stream.destroy();
    throw error;
  } finally {
    cancel();
  }
}

async function readTls(files: TlsFiles | undefined) {
  const { ca = null, client = null } = files ?? {};
  return {
    ...(ca === null ? {} : { ca: await readFile(ca) }),
    ...(client === null ? {} : { cert: await readFile(client.cert), key: await readFile(client.key) }),
  };
}
