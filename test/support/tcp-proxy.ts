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
  /** The connections there are pass nothing on ever again, and nobody is told; new ones work: a forgotten NAT entry. */
  forget(): void;
  /** Resets every connection (RST). New ones are accepted. */
  cut(): void;
  /** Resets every connection and those that follow, until `resume`: a server that is away. */
  refuse(): void;
  close(): Promise<void>;
}

/** One connection through the proxy, for a filter. */
export interface ProxyLink {
  toClient(bytes: Buffer): void;
  toServer(bytes: Buffer): void;
  /** Resets it, on both sides. */
  cut(): void;
}

/** What is passed on in place of a chunk; an empty buffer for nothing. */
export interface ProxyFilter {
  fromClient?(chunk: Buffer): Buffer;
  fromServer?(chunk: Buffer): Buffer;
}

/** A loopback proxy in front of a server, to do to its connections what networks do. */
export async function startTcpProxy(
  targetUrl: string,
  filterOf: (link: ProxyLink) => ProxyFilter = () => ({}),
): Promise<TcpProxy> {
  const target = new URL(targetUrl);
  const host = target.hostname.replace(/^\[|\]$/g, "");
  const targetPort = Number(target.port || { "amqp:": 5672, "postgresql:": 5432, "postgres:": 5432 }[target.protocol]);
  const pairs = new Set<readonly [Socket, Socket]>();
  const forgotten = new Set<readonly [Socket, Socket]>();
  let state: "open" | "stalled" | "refusing" = "open";

  const server = createServer({ noDelay: true }, (inner) => {
    if (state === "refusing") return void inner.resetAndDestroy();
    const outer = connect({ host, port: targetPort, noDelay: true });
    const pair = [inner, outer] as const;
    pairs.add(pair);
    const filter = filterOf({
      toClient: (bytes) => void inner.write(bytes),
      toServer: (bytes) => void outer.write(bytes),
      cut() {
        inner.resetAndDestroy();
        outer.resetAndDestroy();
      },
    });
    for (const [from, to, pass] of [
      [inner, outer, filter.fromClient?.bind(filter)],
      [outer, inner, filter.fromServer?.bind(filter)],
    ] as const) {
      from.on("data", (chunk) => {
        const bytes = pass === undefined ? chunk : pass(chunk);
        if (bytes.length > 0 && !to.write(bytes)) from.pause();
      });
      to.on("drain", () => state !== "stalled" && !forgotten.has(pair) && from.resume());
      from.on("end", () => to.end());
      from.on("error", () => to.resetAndDestroy());
      from.on("close", () => {
        // The other side of a link that is dead hears of nothing.
        if (forgotten.has(pair)) return;
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
    forgotten.clear();
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
      for (const pair of pairs) if (!forgotten.has(pair)) for (const socket of pair) socket.resume();
    },
    forget() {
      for (const pair of pairs) {
        forgotten.add(pair);
        for (const socket of pair) socket.pause();
      }
    },
    cut,
    refuse() {
      state = "refusing";
      cut();
    },
    async close() {
      state = "refusing";
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
