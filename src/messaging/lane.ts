import { type Batch, Confirms } from "./confirms.ts";
import type { Link } from "./connection.ts";
import { FrameWriter } from "./frames.ts";
import { channelNumber, rawConnection } from "./raw-connection.ts";
import { codeOf } from "./reply.ts";

/** How a lane ended: by the broker with a reply code; `null` when the connection went, or it was discarded. */
export interface LaneEnd {
  readonly code: number | null;
}

/**
 * A confirm channel for one exchange. One for each, because the broker closes the whole channel over an exchange that
 * does not exist, and what other exchanges' messages were waiting for would be lost with it.
 */
export interface Lane {
  /** Set once the channel is closed. */
  readonly end: LaneEnd | null;
  /** Writes the batch; resolves when the broker has answered all of it or the lane has ended. */
  send(batch: Batch): Promise<void>;
  /** Gives up on what is unanswered; later answers are ignored. */
  discard(): void;
}

// Keeps the socket busy while the next chunk is encoded, and memory small when the broker reads slowly.
const MOST_BUFFERED_BYTES = 512 * 1024;

/** Opens a lane. Rejects when the connection is lost meanwhile. */
export async function openLane(link: Link): Promise<Lane> {
  const channel = await link.model.createConfirmChannel();
  // Without a listener an error of the channel would take the connection down.
  let cause: unknown = null;
  channel.on("error", (error) => {
    cause = error;
  });
  const raw = rawConnection(link.model);
  const confirms = new Confirms();
  const unanswered = new Set<() => void>();
  const waitingForRoom = new Set<() => void>();
  let end: LaneEnd | null = null;
  let turn: Promise<void> = Promise.resolve();

  function finish(code: number | null): void {
    if (end) return;
    end = { code };
    link.lost.removeEventListener("abort", onLost);
    for (const resolve of [...unanswered, ...waitingForRoom]) resolve();
  }

  channel.on("ack", ({ deliveryTag, multiple }) => confirms.answer(deliveryTag, multiple, "confirmed"));
  channel.on("nack", ({ deliveryTag, multiple }) => confirms.answer(deliveryTag, multiple, "refused"));
  channel.on("return", (message) => confirms.returned(String(message.properties.messageId)));
  channel.on("close", () => finish(codeOf(cause)));
  // The channel's own "close" is missed when it comes in the same breath as the reply that opened it.
  const onLost = () => finish(null);
  link.lost.addEventListener("abort", onLost);
  if (link.lost.aborted) finish(null);

  /** Until the socket has taken what was written, or the lane has ended. */
  function room(): Promise<void> {
    return new Promise((resolve) => {
      const resume = () => {
        raw.stream.off("drain", resume);
        waitingForRoom.delete(resume);
        resolve();
      };
      waitingForRoom.add(resume);
      raw.stream.on("drain", resume);
    });
  }

  const writer = new FrameWriter(channelNumber(channel), raw.frameMax, (chunk) => {
    // Frames on a channel that is closed already would end the whole connection.
    if (end) return true;
    raw.sendBytes(chunk);
    return raw.stream.writableLength === 0;
  });

  async function write({ messages }: Batch): Promise<void> {
    for (const message of messages) {
      writer.publish(message);
      if (raw.stream.writableLength > MOST_BUFFERED_BYTES) await room();
      if (end) return;
    }
    writer.flush();
  }

  return {
    get end() {
      return end;
    },
    async send(batch) {
      // One batch is written at a time, so that its tags are contiguous although writing it pauses for the socket.
      const before = turn;
      let passOn = () => {};
      turn = new Promise((resolve) => {
        passOn = resolve;
      });
      await before;
      if (end) return passOn();
      const answered = new Promise<void>((resolve) => {
        const settle = () => {
          unanswered.delete(settle);
          resolve();
        };
        unanswered.add(settle);
        confirms.add(batch, settle);
      });
      try {
        await write(batch);
      } catch (error) {
        // Half a message stands in the writer, and the next batch's tags would not be the broker's.
        finish(null);
        throw error;
      } finally {
        passOn();
      }
      await answered;
    },
    discard() {
      finish(null);
      channel.close().catch(() => undefined);
    },
  };
}
