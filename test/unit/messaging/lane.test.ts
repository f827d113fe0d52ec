import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import type { Link } from "../../../src/messaging/connection.ts";
import { openLane } from "../../../src/messaging/lane.ts";
import type { Outcome, Outgoing } from "../../../src/messaging/outgoing.ts";

/** A lane on a socket that takes what it is given when it is told to, as a slow reader's. */
async function laneOnSlowSocket() {
  const stream = Object.assign(new EventEmitter(), { writableLength: 0 });
  const channel = Object.assign(new EventEmitter(), { ch: 1, close: async () => {} });
  let written = "";
  const connection = {
    stream,
    frameMax: 131_072,
    sendBytes(bytes: Buffer) {
      written += bytes.toString("latin1");
      stream.writableLength += bytes.length;
    },
  };
  const model = { connection, createConfirmChannel: async () => channel };
  const lane = await openLane({ model, lost: new AbortController().signal } as unknown as Link);
  return {
    lane,
    written: () => written,
    drain() {
      stream.writableLength = 0;
      stream.emit("drain");
    },
    confirmAll: (deliveryTag: number) => channel.emit("ack", { deliveryTag, multiple: true }),
  };
}

const message = (message_id: string, body = message_id, headers?: Outgoing["headers"]): Outgoing => ({
  exchange: "e",
  routing_key: "r",
  body,
  message_id,
  headers,
});
const batch = (...messages: Outgoing[]) => ({
  messages,
  outcomes: new Array<Outcome | undefined>(messages.length),
});

test("a batch that ends while the socket is full does not hold up the next one, once it has room again", async () => {
  const { lane, written, drain, confirmAll } = await laneOnSlowSocket();
  const first = lane.send(batch(message("first", "x".repeat(600_000))));
  await expect.poll(written).toContain("first");
  drain();
  const second = batch(message("second"));
  const sent = lane.send(second);
  await expect.poll(written).toContain("second");
  confirmAll(2);
  await Promise.all([first, sent]);
  expect(second.outcomes).toEqual(["confirmed"]);
});

test("a batch waits while the socket is full, and goes on when it has room", async () => {
  const { lane, written, drain } = await laneOnSlowSocket();
  const large = { ...message("first"), body: Buffer.alloc(600_000) };
  void lane.send(batch(large, message("second"), message("third")));
  await expect.poll(written).toContain("first");
  expect(written()).not.toContain("third");
  drain();
  await expect.poll(written).toContain("third");
});

test("after a message that cannot be written nothing more is, and the lane has ended", async () => {
  const { lane, written } = await laneOnSlowSocket();
  const broken = message("broken", "", {
    get key(): string {
      throw new Error("a defect");
    },
  });
  const first = lane.send(batch(message("first"), broken));
  const second = lane.send(batch(message("second")));
  await expect(first).rejects.toThrow("a defect");
  await second;
  expect(written()).toBe("");
  expect(lane.end).toEqual({ code: null });
});
