import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

export interface StatementCounter extends TcpProxy {
  /** Statements executed and times that an answer was waited for, since the last call. */
  take(): { readonly statements: number; readonly round_trips: number };
}

const EXECUTE = "E".charCodeAt(0);
const SIMPLE_QUERY = "Q".charCodeAt(0);

/** A proxy in front of Postgres that counts what a session asks of it. Sessions that are still opening count nothing. */
export async function startStatementCounter(targetUrl: string): Promise<StatementCounter> {
  let statements = 0;
  let round_trips = 0;
  const proxy = await startTcpProxy(targetUrl, () => {
    const read = messages();
    let asking = false;
    return {
      fromClient(chunk) {
        for (const type of read(chunk)) if (type === EXECUTE || type === SIMPLE_QUERY) statements += 1;
        asking = true;
        return chunk;
      },
      fromServer(chunk) {
        if (asking) round_trips += 1;
        asking = false;
        return chunk;
      },
    };
  });
  return Object.assign(Object.create(proxy) as TcpProxy, {
    take() {
      const counted = { statements, round_trips };
      statements = 0;
      round_trips = 0;
      return counted;
    },
  });
}

/** The types of a client's messages, chunk by chunk; the first message, which opens the session, has none. */
function messages(): (chunk: Buffer) => number[] {
  let rest: Buffer = Buffer.alloc(0);
  let opening = true;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const types: number[] = [];
    for (;;) {
      const head = opening ? 0 : 1;
      if (rest.length < head + 4) return types;
      const length = head + rest.readUInt32BE(head);
      if (rest.length < length) return types;
      if (!opening) types.push(rest[0]!);
      opening = false;
      rest = rest.subarray(length);
    }
  };
}
