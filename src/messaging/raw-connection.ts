import type { Duplex } from "node:stream";
import type { Channel, ChannelModel } from "amqplib";

/**
 * The parts of amqplib 2.3.1 that Pocketwatch uses although they are not in its published types. amqplib is pinned to
 * an exact version; a test fails when an upgrade changes one of them.
 */
interface RawConnection {
  /** The socket. `destroy` is the only thing that ends a dead link at once. */
  readonly stream: Duplex;
  /** Largest frame the broker takes, bytes. */
  readonly frameMax: number;
  /** Whether a resource alarm has blocked it. */
  readonly blocked: boolean;
  /** Writes whole frames to the socket, between amqplib's own. */
  sendBytes(frames: Buffer): void;
}

export function rawConnection(model: ChannelModel): RawConnection {
  return model.connection as unknown as RawConnection;
}

/** The number that stands in every frame of this channel. */
export function channelNumber(channel: Channel): number {
  return (channel as unknown as { ch: number }).ch;
}
