import { connect, createServer, type Socket } from "node:net";

export interface TcpProxy {
  readonly port: number;
  /** The target's URL with this proxy's address in place of the target's. */
  readonly url: string;
  /** Open connections through the proxy. */
  readonly connections: number;
  /** Passes nothing on, in either direction, and closes nothing: a network that swallows packets. New connections open. */
  stall(): void;
  /** Passes on everything again, first what was held back. */
  resume(): void;
  /** Resets every connection (RST). New ones are accepted. */
  cut(): void;
  /** Resets every connection and those that follow, until `resume`: a server that is away. */
  refuse(): void;
  close(): Promise<void>;
}

/** A loopback proxy in front of a server, to do to its connections what networks do. */
export async function startTcpProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl);
  const host = target.hostname.replace(/^\[|\]$/g, "");
  const targetPort = Number(target.port || { "amqp:": 5672, "postgresql:": 5432, "postgres:": 5432 }[target.protocol]);
  const pairs = new Set<readonly [Socket, Socket]>();
  let state: "open" | "stalled" | "refusing" = "open";

  const server = createServer({ noDelay: true }, (inner) => {
    if (state === "refusing") return void inner.resetAndDestroy();
    const outer = connect({ host, port: targetPort, noDelay: true });
    const pair = [inner, outer] as const;
    pairs.add(pair);
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      from.on("data", (chunk) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => state !== "stalled" && from.resume());
      from.on("end", () => to.end());
      from.on("error", () => to.resetAndDestroy());
      from.on("close", () => {
        pairs.delete(pair);
        to.destroy();
      });
      if (state === "stalled") from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const url = new URL(targetUrl);
  url.hostname = "127.0.0.1";
  url.port = String(port);

  const everySocket = () => [...pairs].flat();
  const cut = () => {
    for (const socket of everySocket()) socket.resetAndDestroy();
  };
  return {
    port,
    url: url.href,
    get connections() {
      return pairs.size;
    },
    stall() {
      state = "stalled";
      for (const socket of everySocket()) socket.pause();
    },
    resume() {
      state = "open";
      for (const socket of everySocket()) socket.resume();
    },
    cut,
    refuse() {
      state = "refusing";
      cut();
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
