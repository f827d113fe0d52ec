import fc from "fast-check";
import { expect, test } from "vitest";
import { AckWindow } from "../../../src/messaging/ack-window.ts";

/** What RabbitMQ makes of acknowledgements: one of a tag that is not outstanding closes the channel. */
function createBrokerSide(delivered: number) {
  const outstanding = new Set(Array.from({ length: delivered }, (_, index) => index + 1));
  let frames = 0;
  return {
    outstanding,
    get frames() {
      return frames;
    },
    ack(tag: number, multiple: boolean) {
      frames++;
      if (!outstanding.has(tag)) throw new Error(`406: unknown delivery tag ${tag}`);
      for (const other of [...outstanding]) if (other === tag || (multiple && other < tag)) outstanding.delete(other);
    },
  };
}

test("a whole batch is one frame", () => {
  const broker = createBrokerSide(500);
  const window = new AckWindow();
  for (let tag = 1; tag <= 500; tag++) window.settle(tag);
  window.flush(broker.ack);
  expect(broker.outstanding.size).toBe(0);
  expect(broker.frames).toBe(1);
  window.flush(broker.ack);
  expect(broker.frames).toBe(1);
});

test("what is held keeps only itself back", () => {
  const broker = createBrokerSide(6);
  const window = new AckWindow();
  for (const tag of [1, 2, 4, 5, 6]) window.settle(tag);
  window.flush(broker.ack);
  expect([...broker.outstanding]).toEqual([3]);
  expect(broker.frames).toBe(4);
  window.settle(3);
  window.flush(broker.ack);
  expect(broker.outstanding.size).toBe(0);
});

test("what was settled by other means is not acknowledged", () => {
  const broker = createBrokerSide(3);
  const window = new AckWindow();
  broker.outstanding.delete(2);
  window.skip(2);
  window.settle(1);
  window.flush(broker.ack);
  window.settle(3);
  window.flush(broker.ack);
  expect(broker.outstanding.size).toBe(0);
});

test("in whatever order and portions, exactly what is settled is acknowledged", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.infiniteStream(fc.nat()), (delivered, random) => {
      const next = () => random.next().value ?? 0;
      const broker = createBrokerSide(delivered);
      const window = new AckWindow();
      const held = new Set(broker.outstanding);
      while (held.size > 0) {
        for (let portion = (next() % 5) + 1; portion > 0 && held.size > 0; portion--) {
          const tag = [...held][next() % held.size] as number;
          held.delete(tag);
          window.settle(tag);
        }
        window.flush(broker.ack);
        expect([...broker.outstanding]).toEqual([...held]);
      }
    }),
  );
});
