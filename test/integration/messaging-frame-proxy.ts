import { connect, createServer, type Socket } from "node:net";

export interface Frame {
  readonly type: number;
  readonly channel: number;
  /** Class and method of a method frame (`"60.80"` is basic.ack), else null. */
  readonly method: string | null;
  readonly bytes: Buffer;
}

/** What goes out instead of a frame: itself, nothing, or something besides. */
export type Hook = (frame: Frame) => Buffer[];

export interface FrameProxy {
  readonly url: string;
  /** Sees every frame from the broker. */
  fromBroker: Hook;
  /** Sends to the clients of every connection as if the broker had. */
  toClient(bytes: Buffer): void;
  /** Sends to the broker as if the clients had. */
  toBroker(bytes: Buffer): void;
  /** Lets so many bytes of the next connection through to the client, then resets it. */
  cutAfter(bytes: number): void;
  /** Resets all connections. */
  cut(): void;
  close(): Promise<void>;
}

export const passOn: Hook = ({ bytes }) => [bytes];

/** A method frame; `args` are its encoded arguments. */
export function methodFrame(channel: number, classId: number, methodId: number, args: Buffer): Buffer {
  const head = Buffer.alloc(11);
  head.writeUInt8(1, 0);
  head.writeUInt16BE(channel, 1);
  head.writeUInt32BE(4 + args.length, 3);
  head.writeUInt16BE(classId, 7);
  head.writeUInt16BE(methodId, 9);
  return Buffer.concat([head, args, Buffer.from([0xce])]);
}

export function shortString(text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
}

/** connection.close with a reply code. */
export function connectionClose(code: number): Buffer {
  const args = Buffer.concat([Buffer.from([code >> 8, code & 255]), shortString("test"), Buffer.alloc(4)]);
  return methodFrame(0, 10, 50, args);
}

/** A proxy that understands AMQP frames, to say what a broker says at moments a real one cannot be brought to. */
export async function startFrameProxy(targetUrl: string): Promise<FrameProxy> {
  const target = new URL(targetUrl);
  const pairs = new Set<{ client: Socket; broker: Socket }>();
  let left = Number.POSITIVE_INFINITY;

  const server = createServer({ noDelay: true }, (client) => {
    const broker = connect({ host: target.hostname, port: Number(target.port || 5672), noDelay: true });
    const pair = { client, broker };
    pairs.add(pair);
    let rest = Buffer.alloc(0);
    broker.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      const out: Buffer[] = [];
      for (let size = frameSize(rest); size !== null; size = frameSize(rest)) {
        out.push(...proxy.fromBroker(parse(rest.subarray(0, size))));
        rest = rest.subarray(size);
      }
      const bytes = Buffer.concat(out);
      client.write(bytes.subarray(0, left));
      left -= bytes.length;
      if (left <= 0) {
        left = Number.POSITIVE_INFINITY;
        client.resetAndDestroy();
      }
    });
    client.on("data", (chunk) => broker.write(chunk));
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      one.on("end", () => other.end());
      one.on("error", () => other.destroy());
      one.on("close", () => {
        pairs.delete(pair);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = new URL(targetUrl);
  url.hostname = "127.0.0.1";
  url.port = String(typeof address === "object" ? address?.port : "");

  const proxy: FrameProxy = {
    url: url.href,
    fromBroker: passOn,
    toClient(bytes) {
      for (const { client } of pairs) client.write(bytes);
    },
    toBroker(bytes) {
      for (const { broker } of pairs) broker.write(bytes);
    },
    cutAfter(bytes) {
      left = bytes;
    },
    cut() {
      for (const { client, broker } of pairs) {
        client.resetAndDestroy();
        broker.destroy();
      }
    },
    async close() {
      proxy.cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

function frameSize(bytes: Buffer): number | null {
  if (bytes.length < 7) return null;
  const size = 8 + bytes.readUInt32BE(3);
  return bytes.length < size ? null : size;
}

function parse(bytes: Buffer): Frame {
  const type = bytes.readUInt8(0);
  const method = type === 1 ? `${bytes.readUInt16BE(7)}.${bytes.readUInt16BE(9)}` : null;
  return { type, channel: bytes.readUInt16BE(1), method, bytes };
}
