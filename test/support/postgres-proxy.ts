import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

export interface PostgresProxy extends TcpProxy {
  /** The replies to so many of the next COMMITs are lost, and their connections with them. */
  loseCommits(count: number): void;
  /** How many were lost so far. */
  readonly lost: number;
}

// CommandComplete: its letter, its length, its tag.
const COMMITTED = Buffer.from("C\0\0\0\x0bCOMMIT\0");

/** A proxy that understands one word of Postgres's protocol: that a transaction was committed. */
export async function startPostgresProxy(targetUrl: string): Promise<PostgresProxy> {
  let left = 0;
  let lost = 0;
  const proxy = await startTcpProxy(targetUrl, (link) => ({
    fromServer(chunk) {
      if (left === 0 || !chunk.includes(COMMITTED)) return chunk;
      left -= 1;
      lost += 1;
      link.cut();
      return Buffer.alloc(0);
    },
  }));
  return Object.defineProperties(Object.create(proxy), {
    lost: { get: () => lost },
    loseCommits: {
      value(count: number) {
        left += count;
      },
    },
  });
}
