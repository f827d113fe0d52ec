import { type ProxyLink, startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** One AMQP frame on its way through the proxy. */
export interface AmqpFrame {
  /** Class and method of a method frame (`"60.80"` is basic.ack), else null. */
  readonly method: string | null;
  readonly channel: number;
  readonly bytes: Buffer;
}

/** What goes on in place of a frame: itself (`true`), nothing (`false`), or these bytes. */
export type FrameHook = (frame: AmqpFrame, link: ProxyLink) => boolean | Buffer;

export interface AmqpProxy extends TcpProxy {
  /** Sees every frame of the client; null: all pass. */
  fromClient: FrameHook | null;
  /** Sees every frame of the broker; null: all pass. */
  fromBroker: FrameHook | null;
  /** A hook's way to keep a frame of the broker back until `release`. */
  keepBack(frame: AmqpFrame, link: ProxyLink): false;
  /** Sends on, in order, what was kept back. */
  release(): void;
}

export const METHOD = {
  queueDeclare: "50.10",
  queueDeclared: "50.11",
  publish: "60.40",
  deliver: "60.60",
  ack: "60.80",
} as const;

/** A proxy that understands AMQP frames: connections can be harmed at a chosen word of the protocol. */
export async function startAmqpProxy(targetUrl: string): Promise<AmqpProxy> {
  const held: (() => void)[] = [];
  const proxy = await startTcpProxy(targetUrl, (link) => {
    const clientFrames = splitter(8); // the protocol header
    const brokerFrames = splitter(0);
    return {
      fromClient: (chunk) => pass(clientFrames(chunk), amqp.fromClient, link),
      fromServer: (chunk) => pass(brokerFrames(chunk), amqp.fromBroker, link),
    };
  });
  const amqp: AmqpProxy = Object.assign(Object.create(proxy) as TcpProxy, {
    fromClient: null,
    fromBroker: null,
    keepBack({ bytes }: AmqpFrame, link: ProxyLink): false {
      held.push(() => link.toClient(bytes));
      return false;
    },
    release() {
      for (const send of held.splice(0)) send();
    },
  });
  return amqp;
}

function pass(frames: readonly Buffer[], hook: FrameHook | null, link: ProxyLink): Buffer {
  if (hook === null) return Buffer.concat(frames);
  return Buffer.concat(
    frames.map((bytes) => {
      const verdict = bytes.length < 8 ? true : hook(parse(bytes), link);
      if (Buffer.isBuffer(verdict)) return verdict;
      return verdict ? bytes : Buffer.alloc(0);
    }),
  );
}

/** Cuts a stream of chunks into whole frames; the first `head` bytes pass as they are. */
function splitter(head: number): (chunk: Buffer) => Buffer[] {
  let rest: Buffer = Buffer.alloc(0);
  let left = head;
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const frames: Buffer[] = [];
    let at = 0;
    if (left > 0) {
      if (rest.length < left) return frames;
      // Shorter than any frame, so that no hook sees it.
      frames.push(rest.subarray(0, left - 1), rest.subarray(left - 1, left));
      at = left;
      left = 0;
    }
    while (rest.length - at >= 7) {
      const size = 8 + rest.readUInt32BE(at + 3);
      if (rest.length - at < size) break;
      frames.push(rest.subarray(at, at + size));
      at += size;
    }
    rest = rest.subarray(at);
    return frames;
  };
}

function parse(bytes: Buffer): AmqpFrame {
  const method = bytes.readUInt8(0) === 1 ? `${bytes.readUInt16BE(7)}.${bytes.readUInt16BE(9)}` : null;
  return { method, channel: bytes.readUInt16BE(1), bytes };
}
