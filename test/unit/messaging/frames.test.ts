import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodable, FrameWriter } from "../../../src/messaging/frames.ts";
import type { Outgoing } from "../../../src/messaging/outgoing.ts";

// amqplib's own decoder is the reference: it reads what RabbitMQ sends.
const require = createRequire(import.meta.url);
const lib = join(dirname(require.resolve("amqplib")), "lib");
const { parseFrame, decodeFrame } = require(join(lib, "frame.js"));
const defs = require(join(lib, "defs.js"));

interface Read {
  method: Record<string, unknown>;
  size: number;
  properties: Record<string, unknown>;
  body: Buffer;
  channels: Set<number>;
  frames: number;
  longest: number;
}

function write(messages: readonly Outgoing[], frame_max = 131_072): { bytes: Buffer; chunks: number } {
  const chunks: Buffer[] = [];
  const writer = new FrameWriter(7, frame_max, (chunk) => {
    chunks.push(Buffer.from(chunk));
    // Written over from now on, which the copy does not see; or still with the socket.
    return chunks.length % 2 === 0;
  });
  for (const message of messages) writer.publish(message);
  writer.flush();
  writer.flush();
  return { bytes: Buffer.concat(chunks), chunks: chunks.length };
}

function read(bytes: Buffer): Read[] {
  const messages: Read[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const frame = parseFrame(rest, 0);
    expect(frame).toBeTruthy();
    const decoded = decodeFrame(frame);
    rest = frame.rest;
    if (decoded.id === defs.BasicPublish) {
      messages.push({
        method: decoded.fields,
        size: -1,
        properties: {},
        body: Buffer.alloc(0),
        channels: new Set(),
        frames: 0,
        longest: 0,
      });
    }
    const message = messages.at(-1) as Read;
    message.channels.add(decoded.channel);
    message.frames++;
    message.longest = Math.max(message.longest, frame.payload.length + 8);
    if (decoded.id === defs.BasicProperties) {
      message.size = decoded.size;
      message.properties = Object.fromEntries(
        Object.entries(decoded.fields as Record<string, unknown>).filter(([, value]) => value !== undefined),
      );
    }
    if (decoded.content) message.body = Buffer.concat([message.body, decoded.content]);
  }
  return messages;
}

const shortText = fc.string({ unit: "binary", maxLength: 60 }).filter((text) => Buffer.byteLength(text) <= 255);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const outgoing: fc.Arbitrary<Outgoing> = fc.record({
  exchange: shortText,
  routing_key: shortText,
  body: fc.oneof(
    fc.string({ unit: "binary", maxLength: 3_000 }),
    fc.uint8Array({ maxLength: 20_000 }).map((bytes) => Buffer.from(bytes)),
  ),
  message_id: shortText,
  type: optional(shortText),
  content_type: optional(shortText),
  priority: optional(fc.nat(255)),
  expiration_ms: optional(fc.maxSafeNat()),
  timestamp: optional(fc.nat()),
  headers: optional(
    fc.dictionary(
      // amqplib's decoder loses a header of that name.
      shortText.filter((name) => name !== "__proto__"),
      fc.oneof(
        fc.string({ unit: "binary" }),
        fc.boolean(),
        fc.integer(),
        fc.double({ noNaN: true }).map((value) => value + 0),
      ),
    ),
  ),
});

describe("what is written is what a broker reads", () => {
  test("for any messages", () => {
    fc.assert(
      fc.property(
        fc.array(outgoing, { minLength: 1, maxLength: 20 }),
        fc.constantFrom(4_096, 131_072),
        (messages, max) => {
          fc.pre(messages.every((message) => encodable(message, max)));
          const found = read(write(messages, max).bytes);
          expect(found).toHaveLength(messages.length);
          for (const [index, message] of messages.entries()) {
            const { method, size, properties, body, channels, longest } = found[index] as Read;
            const expected = Buffer.from(message.body as string);
            expect(channels).toEqual(new Set([7]));
            expect(longest).toBeLessThanOrEqual(max);
            expect(method).toMatchObject({
              exchange: message.exchange,
              routingKey: message.routing_key,
              mandatory: true,
            });
            expect(size).toBe(expected.length);
            expect(body.equals(expected)).toBe(true);
            const { headers, ...plain } = properties;
            expect(plain).toEqual(
              JSON.parse(
                JSON.stringify({
                  contentType: message.content_type,
                  deliveryMode: 2,
                  priority: message.priority,
                  expiration: message.expiration_ms?.toString(),
                  messageId: message.message_id,
                  timestamp: message.timestamp,
                  type: message.type,
                }),
              ),
            );
            expect(headers === undefined ? undefined : Object.entries(headers as object)).toEqual(
              message.headers === undefined ? undefined : Object.entries(message.headers),
            );
          }
        },
      ),
    );
  });

  test("an empty body has no body frame, a large one has several", () => {
    const message = { exchange: "e", routing_key: "k", message_id: "m" };
    expect(read(write([{ ...message, body: "" }]).bytes)[0]).toMatchObject({ frames: 2, size: 0 });
    for (const body of ["ä".repeat(200_000), Buffer.alloc(400_000, 1)]) {
      const [found] = read(write([{ ...message, body }]).bytes);
      expect(found).toMatchObject({ frames: 6, size: 400_000 });
      expect(found?.body.equals(Buffer.from(body as string))).toBe(true);
    }
  });

  test("small messages share a chunk", () => {
    const messages = Array.from({ length: 1_000 }, (_, index) => ({
      exchange: "pocketwatch.triggers",
      routing_key: "scout.trigger.v1",
      message_id: String(index),
      body: "x".repeat(900),
    }));
    const { bytes, chunks } = write(messages);
    expect(chunks).toBeLessThan(bytes.length / 50_000);
    expect(read(bytes).map(({ properties }) => properties.messageId)).toEqual(messages.map((m) => m.message_id));
  });
});

describe("what AMQP cannot carry is not written", () => {
  const message: Outgoing = { exchange: "e", routing_key: "k", message_id: "m", body: "" };
  test.each<[string, Partial<Outgoing>, boolean]>([
    ["a routing key of 255 bytes", { routing_key: "k".repeat(255) }, true],
    ["a routing key of 256 bytes", { routing_key: "k".repeat(256) }, false],
    ["a routing key of 128 two-byte characters", { routing_key: "ä".repeat(128) }, false],
    ["a type of 256 bytes", { type: "t".repeat(256) }, false],
    ["priority 256", { priority: 256 }, false],
    ["priority 1.5", { priority: 1.5 }, false],
    ["an expiration before now", { expiration_ms: -1 }, false],
    ["an expiration that is not a number", { expiration_ms: Number.NaN }, false],
    ["a header name of 256 bytes", { headers: { ["h".repeat(256)]: 1 } }, false],
    ["headers of 100 kB", { headers: { h: "x".repeat(100_000) } }, false],
  ])("%s: %o", (_, change, expected) => {
    expect(encodable({ ...message, ...change }, 131_072)).toBe(expected);
  });
});
