import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Batch, Confirms } from "../../../src/messaging/confirms.ts";
import type { Outcome } from "../../../src/messaging/outgoing.ts";

function batchOf(...ids: string[]): Batch {
  return {
    messages: ids.map((message_id) => ({ exchange: "e", routing_key: "k", body: "", message_id })),
    outcomes: new Array<Outcome | undefined>(ids.length).fill(undefined),
  };
}

function setUp(...batches: Batch[]) {
  const confirms = new Confirms();
  const done: number[] = [];
  for (const [index, batch] of batches.entries()) confirms.add(batch, () => done.push(index));
  return { confirms, done };
}

describe("confirms", () => {
  test("one answer settles all up to it, across batches", () => {
    const [first, second] = [batchOf("a", "b"), batchOf("c", "d")];
    const { confirms, done } = setUp(first, second);
    confirms.answer(3, true, "confirmed");
    expect(first.outcomes).toEqual(["confirmed", "confirmed"]);
    expect(second.outcomes).toEqual(["confirmed", undefined]);
    expect(done).toEqual([0]);
    confirms.answer(4, false, "refused");
    expect(second.outcomes).toEqual(["confirmed", "refused"]);
    expect(done).toEqual([0, 1]);
  });

  test("a message that came back is unroutable when its ack follows, not before", () => {
    const batch = batchOf("a", "b", "c");
    const { confirms, done } = setUp(batch);
    confirms.returned("b");
    expect(batch.outcomes).toEqual([undefined, undefined, undefined]);
    confirms.answer(3, true, "confirmed");
    expect(batch.outcomes).toEqual(["confirmed", "unroutable", "confirmed"]);
    expect(done).toEqual([0]);
  });

  test("a return that belongs to no message, and an answer to no tag, change nothing", () => {
    const batch = batchOf("a");
    const { confirms, done } = setUp(batch);
    confirms.returned("z");
    confirms.answer(9, false, "refused");
    expect(batch.outcomes).toEqual([undefined]);
    expect(done).toEqual([]);
  });

  test("a nack does not overrule an answer that was given", () => {
    const batch = batchOf("a", "b");
    const { confirms } = setUp(batch);
    confirms.answer(1, false, "confirmed");
    confirms.answer(2, true, "refused");
    expect(batch.outcomes).toEqual(["confirmed", "refused"]);
  });

  test("an empty batch is done at once", () => {
    expect(setUp(batchOf()).done).toEqual([0]);
  });

  test("whatever the order of answers, every message gets its own and every batch is done once", () => {
    const plan = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
      refused: fc.func(fc.boolean()),
      returned: fc.func(fc.boolean()),
      seed: fc.infiniteStream(fc.nat()),
    });
    fc.assert(
      fc.property(plan, ({ sizes, refused, returned, seed }) => {
        const batches = sizes.map((size, index) =>
          batchOf(...Array.from({ length: size }, (_, at) => `${index}.${at}`)),
        );
        const { confirms, done } = setUp(...batches);
        const ids = batches.flatMap((batch) => batch.messages.map((message) => message.message_id));
        const expected = ids.map((id) => (returned(id) ? "unroutable" : refused(id) ? "refused" : "confirmed"));
        for (const [index, outcome] of expected.entries()) {
          if (outcome === "unroutable") confirms.returned(ids[index] as string);
        }
        const wire = (tag: number) => (expected[tag - 1] === "refused" ? "refused" : "confirmed");
        // As a broker answers: single tags in any order, or a run of like answers from the lowest open tag on.
        const open = new Set(ids.map((_, index) => index + 1));
        while (open.size > 0) {
          const tags = [...open];
          const pick = (seed.next().value ?? 0) % tags.length;
          const like = tags.slice(0, pick + 1);
          const multiple = like.every((tag) => wire(tag) === wire(like[0] as number));
          const tag = tags[pick] as number;
          confirms.answer(tag, multiple, wire(tag));
          for (const settled of multiple ? like : [tag]) open.delete(settled);
        }
        expect(batches.flatMap((batch) => batch.outcomes)).toEqual(expected);
        expect(done.sort()).toEqual(batches.map((_, index) => index));
      }),
    );
  });
});
