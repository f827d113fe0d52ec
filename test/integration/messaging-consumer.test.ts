import { describe, expect, test } from "vitest";
import type { ConsumeOptions, Delivery } from "../../src/messaging/consumer.ts";
import { deadQueue } from "../../src/messaging/topology.ts";
import { waitFor } from "../support/wait-for.ts";
import { methodFrame } from "./messaging-frame-proxy.ts";
import { drain, jobs, ready, type Setup, setUp, tally } from "./messaging-setup.ts";

type Handle = ConsumeOptions["handle"];

const options = (setup: Setup, handle: Handle): ConsumeOptions => ({
  queue: { name: setup.queue },
  prefetch: 200,
  batch_size: 50,
  handle,
});

const textOf = (delivery: Delivery) => delivery.body.toString();

/** Puts messages into the queue, their bodies being 0, 1, 2 … */
async function fill(setup: Setup, count: number, from = 0): Promise<void> {
  const channel = await setup.adminConnection.createConfirmChannel();
  for (let index = from; index < from + count; index++) {
    channel.publish(setup.name.exchange.triggers, "job.v1", Buffer.from(String(index)), { persistent: true });
  }
  await channel.waitForConfirms();
  await channel.close();
}

const range = (count: number) => Array.from({ length: count }, (_, index) => String(index));

/** Nothing is left with the broker: once nobody consumes, what was not acknowledged counts as ready again. */
async function emptied(setup: Setup, queue = setup.queue): Promise<void> {
  await waitFor(async () => (await setup.admin.checkQueue(queue)).consumerCount === 0);
  expect(await setup.count(queue)).toBe(0);
}

describe("batches", () => {
  test("come in order, one at a time, no larger than asked, and are acknowledged", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await fill(setup, 1_000);
    const seen: string[] = [];
    const sizes: number[] = [];
    let inHand = 0;
    const consumer = broker.consume(
      options(setup, async (batch) => {
        expect(++inHand).toBe(1);
        sizes.push(batch.length);
        // Lets more arrive meanwhile.
        await new Promise((resolve) => setImmediate(resolve));
        for (const delivery of batch) {
          seen.push(textOf(delivery));
          delivery.ack();
        }
        inHand--;
      }),
    );
    await waitFor(() => seen.length >= 1_000);
    expect(seen).toEqual(range(1_000));
    expect(Math.max(...sizes)).toBe(50);
    await consumer.stop(5_000);
    await emptied(setup);
  });

  test("wait for more only as long as they are told to linger", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const sizes: number[] = [];
    const handle: Handle = async (batch) => {
      sizes.push(batch.length);
      for (const delivery of batch) delivery.ack();
    };
    broker.consume({ ...options(setup, handle), linger_ms: 60_000, batch_size: 3 });
    await fill(setup, 2);
    await waitFor(async () => (await setup.count(setup.queue)) === 0);
    expect(sizes).toEqual([]);
    await fill(setup, 1);
    await waitFor(() => sizes.length > 0);
    expect(sizes).toEqual([3]);
  });

  test("what is left undecided comes again", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await fill(setup, 3);
    const seen: string[] = [];
    broker.consume(
      options(setup, async (batch) => {
        for (const delivery of batch) {
          if (seen.includes(textOf(delivery)) || textOf(delivery) !== "1") delivery.ack();
          seen.push(textOf(delivery));
        }
      }),
    );
    await waitFor(() => seen.length === 4);
    expect(seen).toEqual(["0", "1", "2", "1"]);
  });
});

test("when handling fails the same messages are handed again, and nothing is lost, doubled or redelivered", async () => {
  const setup = await setUp();
  const broker = setup.start();
  await ready(broker);
  await fill(setup, 100);
  const handled: string[] = [];
  const attempts: string[][] = [];
  let redelivered = false;
  const consumer = broker.consume(
    options(setup, async (batch) => {
      attempts.push(batch.map(textOf));
      redelivered ||= batch.some((delivery) => delivery.redelivered);
      for (const delivery of batch) delivery.ack();
      if (attempts.length <= 4) throw new Error("the database is away");
      handled.push(...batch.map(textOf));
    }),
  );
  await waitFor(() => handled.length >= 100);
  expect(attempts.slice(0, 4)).toEqual([attempts[0], attempts[0], attempts[0], attempts[0]]);
  expect(handled).toEqual(range(100));
  expect(redelivered).toBe(false);
  expect(setup.log.filter(({ msg }) => msg === "handling failed; trying again")).toHaveLength(4);
  await consumer.stop(5_000);
  await emptied(setup);
});

test("when handling fails for long, the messages are left to others until there are prospects again", async () => {
  const setup = await setUp();
  const [cutOff, well] = [setup.start(setup.url, "cut-off"), setup.start(setup.url, "well")];
  await Promise.all([cutOff, well].map(ready));
  await fill(setup, 100);
  let away = true;
  let failures = 0;
  let asked = 0;
  const handled: Record<string, string[]> = { cutOff: [], well: [] };
  const handle = (name: "cutOff" | "well") => async (batch: readonly Delivery[]) => {
    if (name === "cutOff" && away) {
      failures++;
      throw new Error("the database is away");
    }
    for (const delivery of batch) {
      handled[name]?.push(textOf(delivery));
      delivery.ack();
    }
  };
  cutOff.consume({
    ...options(setup, handle("cutOff")),
    ready: async () => {
      asked++;
      if (away) throw new Error("the database is still away");
    },
  });
  await waitFor(() => failures > 0);
  const consumer = well.consume(options(setup, handle("well")));
  await waitFor(() => handled.well?.length === 100);
  await consumer.stop(5_000);
  await waitFor(() => asked > 1);
  const before = failures;
  await fill(setup, 10, 100);
  away = false;
  await waitFor(() => handled.cutOff?.length === 10);
  expect(failures).toBe(before);
  expect(handled.cutOff).toEqual(range(110).slice(100));
});

describe("retrying later", () => {
  test("keeps a message here, for a second or more, while its neighbours go on", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await fill(setup, 100);
    const times: number[] = [];
    const seen: string[] = [];
    let first_seen: number | null = null;
    const consumer = broker.consume(
      options(setup, async (batch) => {
        for (const delivery of batch) {
          if (textOf(delivery) === "10" && times.length < 2) {
            times.push(performance.now());
            first_seen ??= delivery.first_seen;
            expect(delivery.first_seen).toBe(first_seen);
            expect(delivery.redelivered).toBe(false);
            delivery.retryLater("not yet");
            continue;
          }
          seen.push(textOf(delivery));
          delivery.ack();
        }
      }),
    );
    await waitFor(() => seen.length === 100);
    expect(seen).toEqual([...range(100).filter((text) => text !== "10"), "10"]);
    for (const [index, time] of times.slice(1).entries())
      expect(time - (times[index] ?? 0)).toBeGreaterThanOrEqual(999);
    await consumer.stop(5_000);
    await emptied(setup);
  });

  test("gives the oldest up rather than starve what arrives", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await fill(setup, 30);
    let good = 0;
    broker.consume({
      ...options(setup, async (batch) => {
        for (const delivery of batch) {
          if (Number(textOf(delivery)) < 30) delivery.retryLater("unknown run");
          else {
            good++;
            delivery.ack();
          }
        }
      }),
      prefetch: 20,
    });
    await waitFor(async () => (await setup.count(deadQueue(setup.queue))) >= 20);
    await fill(setup, 50, 30);
    await waitFor(() => good === 50);
    const [dead] = await drain(setup, deadQueue(setup.queue));
    expect(dead?.content.toString()).toBe("0");
    expect(dead?.properties.headers?.["x-pocketwatch-reason"]).toBe(
      "unknown run (given up early: too many are being retried)",
    );
  });
});

describe("dead letters", () => {
  test("keep body and properties, and say why", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const [message] = jobs(setup, 1, {
      type: "job.v1",
      content_type: "text/plain",
      headers: { traceparent: "t", n: 7 },
    });
    const others = jobs(setup, 2).map((other) => ({ ...other, message_id: `other ${other.message_id}` }));
    if (!message) throw new Error();
    await broker.publisher.publish([message, ...others], 5_000);
    const consumer = broker.consume(
      options(setup, async (batch) => {
        for (const delivery of batch) {
          if (delivery.properties.messageId === "0") delivery.deadLetter("data.progress: must be at most 100");
          else delivery.ack();
        }
      }),
    );
    await waitFor(async () => (await setup.count(deadQueue(setup.queue))) === 1);
    await consumer.stop(5_000);
    const [dead] = await drain(setup, deadQueue(setup.queue));
    expect(dead?.content.toString()).toBe("0");
    expect(dead?.properties).toMatchObject({
      messageId: "0",
      type: "job.v1",
      contentType: "text/plain",
      deliveryMode: 2,
      headers: { traceparent: "t", n: 7, "x-pocketwatch-reason": "data.progress: must be at most 100" },
    });
    await emptied(setup);
  });

  test("take in what nobody could publish again as it is", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    setup.admin.publish("", setup.queue, Buffer.from("odd"), {
      messageId: "odd",
      // Fits one frame, but not by the generous bound of the frame writer.
      headers: { nested: { a: [1, { b: null }] }, at: { "!": "timestamp", value: 1 }, long: "x".repeat(50_000) },
    });
    broker.consume(
      options(setup, async (batch) => {
        for (const delivery of batch) delivery.deadLetter("x".repeat(5_000));
      }),
    );
    await waitFor(async () => (await setup.count(deadQueue(setup.queue))) === 1);
    const [dead] = await drain(setup, deadQueue(setup.queue));
    expect(dead?.content.toString()).toBe("odd");
    expect(dead?.properties.headers?.["x-pocketwatch-reason"]).toHaveLength(1_000);
  });

  test("get what is too large, unread", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const seen: string[] = [];
    broker.consume({
      ...options(setup, async (batch) => {
        for (const delivery of batch) {
          seen.push(textOf(delivery));
          delivery.ack();
        }
      }),
      max_body_bytes: 1_000,
    });
    await broker.publisher.publish(
      [
        ...jobs(setup, 1),
        ...jobs(setup, 1, { message_id: "large", body: Buffer.alloc(10_000_000) }),
        ...jobs(setup, 1),
      ],
      10_000,
    );
    await waitFor(async () => (await setup.count(deadQueue(setup.queue))) === 1, { timeoutMs: 15_000 });
    await waitFor(() => seen.length === 2);
    const [dead] = await drain(setup, deadQueue(setup.queue));
    expect(dead?.content).toHaveLength(10_000_000);
    expect(dead?.properties.headers?.["x-pocketwatch-reason"]).toBe(
      "body: expected at most 1000 bytes, found 10000000",
    );
  });

  test("wait until there is a queue for them again", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const queue = setup.name.queue.commands;
    await setup.admin.deleteQueue(deadQueue(queue));
    let handed = 0;
    broker.consume({
      ...options(setup, async (batch) => {
        handed += batch.length;
        for (const delivery of batch) delivery.deadLetter("bad");
      }),
      queue: { name: queue },
    });
    setup.admin.publish("", queue, Buffer.from("bad"));
    await waitFor(() => setup.log.some(({ msg }) => msg === "no queue for dead letters; declaring it again"));
    await waitFor(async () => {
      const channel = await setup.adminConnection.createChannel();
      channel.on("error", () => undefined);
      return (await channel.checkQueue(deadQueue(queue))).messageCount === 1;
    });
    expect(handed).toBe(1);
  });
});

describe("interruptions", () => {
  /** Consumes until told otherwise; collects what was committed. */
  function collect(setup: Setup, url?: string) {
    const broker = setup.start(url);
    const seen: string[] = [];
    const consumer = broker.consume(
      options(setup, async (batch) => {
        for (const delivery of batch) {
          seen.push(textOf(delivery));
          delivery.ack();
        }
      }),
    );
    return { broker, consumer, seen };
  }

  test("a queue that is deleted is declared and consumed again", async () => {
    const setup = await setUp();
    const { broker, seen } = collect(setup);
    await ready(broker);
    await fill(setup, 10);
    await waitFor(() => seen.length === 10);
    await setup.admin.deleteQueue(setup.queue);
    await waitFor(() => setup.log.filter(({ msg }) => msg === "consuming").length === 2);
    await fill(setup, 10, 10);
    await waitFor(() => seen.length === 20);
    expect(seen).toEqual(range(20));
    expect(setup.log.filter(({ msg }) => msg === "connected to RabbitMQ")).toHaveLength(2);
  });

  test("a channel that the broker closes alone is opened again, and the connection stays", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const { broker, seen } = collect(setup, proxy.url);
    await ready(broker);
    await fill(setup, 10);
    await waitFor(() => seen.length === 10);
    // An acknowledgement nobody can give: the broker closes the channel (406). Channel 1 is the consumer's, and on the
    // publishing connection nobody's yet.
    const unknownTag = Buffer.alloc(9);
    unknownTag.writeUInt8(99, 7);
    const consuming = await waitFor(() => setup.log.some(({ msg }) => msg === "consuming"));
    expect(consuming).toBe(true);
    await broker.publisher.publish(jobs(setup, 1, { body: "10" }), 5_000);
    proxy.toBroker(methodFrame(1, 60, 80, unknownTag));
    await waitFor(() => setup.log.filter(({ msg }) => msg === "consuming").length === 2);
    await fill(setup, 10, 11);
    await waitFor(() => new Set(seen).size === 21);
    expect(setup.log.filter(({ msg }) => msg === "connected to RabbitMQ")).toHaveLength(2);
  });

  test("a connection cut while a batch is in hand: its tags are not used on the next, nothing is lost", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    await fill(setup, 100);
    const seen: string[] = [];
    const deliveredAgain = new Set<string>();
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let batches = 0;
    const consumer = broker.consume(
      options(setup, async (batch) => {
        if (++batches === 1) await held;
        for (const delivery of batch) {
          seen.push(textOf(delivery));
          if (delivery.redelivered) deliveredAgain.add(textOf(delivery));
          delivery.ack();
        }
      }),
    );
    await waitFor(() => batches === 1);
    proxy.cut();
    await waitFor(() => setup.log.filter(({ msg }) => msg === "consuming").length === 2);
    await waitFor(async () => (await setup.count(setup.queue)) === 0);
    letGo();
    // What was in hand is handled twice: its acknowledgement could not be given any more.
    await waitFor(() => deliveredAgain.size === 100);
    expect(new Set(seen).size).toBe(100);
    expect(seen.length).toBeGreaterThan(100);
    expect(setup.log.filter(({ msg }) => msg === "session on RabbitMQ failed; trying again")).toEqual([]);
    await consumer.stop(5_000);
    await emptied(setup);
  });

  test("cut after cut", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const { broker, consumer, seen } = collect(setup, proxy.url);
    await ready(broker);
    for (let round = 0; round < 5; round++) {
      await fill(setup, 200, round * 200);
      await waitFor(() => new Set(seen).size > round * 200 + 10);
      proxy.cut();
    }
    await waitFor(() => new Set(seen).size === 1_000);
    await consumer.stop(5_000);
    // Repetitions of what was in hand at the last cut may be left, and nothing else.
    await waitFor(async () => (await setup.admin.checkQueue(setup.queue)).consumerCount === 0);
    const left = (await drain(setup, setup.queue)).map(({ content }) => content.toString());
    expect(left.filter((text) => !seen.includes(text))).toEqual([]);
  });
});

describe("stopping", () => {
  test("waits for the batch in hand, and leaves the rest in the queue", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await fill(setup, 120);
    const handled: string[] = [];
    let inHand = false;
    let letGo = () => {};
    const consumer = broker.consume(
      options(setup, async (batch) => {
        inHand = true;
        await new Promise<void>((resolve) => {
          letGo = resolve;
        });
        for (const delivery of batch) {
          handled.push(textOf(delivery));
          delivery.ack();
        }
      }),
    );
    await waitFor(() => inHand);
    const stopped = consumer.stop(10_000);
    expect(consumer.stop(1)).toBe(stopped);
    letGo();
    await stopped;
    const left = 120 - handled.length;
    expect(handled.length).toBeLessThanOrEqual(50);
    await waitFor(async () => (await setup.count(setup.queue)) === left);
    expect((await drain(setup, setup.queue)).map(({ content }) => content.toString())).toEqual(
      range(120).slice(handled.length),
    );
  });

  test("does not wait for ever", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await fill(setup, 1);
    let inHand = false;
    const consumer = broker.consume(
      options(setup, () => {
        inHand = true;
        return new Promise(() => {});
      }),
    );
    await waitFor(() => inHand);
    const started = performance.now();
    await consumer.stop(200);
    expect(performance.now() - started).toBeLessThan(2_000);
    await waitFor(async () => (await setup.count(setup.queue)) === 1);
  });
});

test("every instance hears a message for all, also after its connection was lost", async () => {
  const setup = await setUp();
  const proxy = await setup.proxy();
  const heard: Record<string, string[]> = { one: [], two: [] };
  const brokers = ["one", "two"].map((instance) => {
    const broker = setup.start(proxy.url, instance);
    broker.consume({
      queue: {
        exclusive: (connection) => setup.name.queue.reload(instance, connection),
        bindings: [{ exchange: setup.name.exchange.commands, routing_key: "schedules.reload.v1" }],
        dead_letters_of: setup.name.queue.commands,
      },
      prefetch: 10,
      batch_size: 1,
      handle: async (batch) => {
        for (const delivery of batch) {
          heard[instance]?.push(textOf(delivery));
          if (textOf(delivery) === "bad") delivery.deadLetter("not a reload");
          else delivery.ack();
        }
      },
    });
    return broker;
  });
  const consuming = (times: number) =>
    waitFor(() => setup.log.filter(({ msg }) => msg === "consuming").length === 2 * times);
  const tell = async (text: string) => {
    const message = { exchange: setup.name.exchange.commands, routing_key: "schedules.reload.v1", body: text };
    const outcomes = await brokers[0]?.publisher.publish([{ ...message, message_id: text }], 5_000);
    expect(tally(outcomes ?? [])).toEqual({ confirmed: 1 });
  };
  await consuming(1);
  await Promise.all(brokers.map(ready));
  await tell("first");
  await waitFor(() => heard.one?.length === 1 && heard.two?.length === 1);
  proxy.cut();
  await consuming(2);
  await Promise.all(brokers.map(ready));
  await tell("bad");
  await waitFor(() => heard.one?.length === 2 && heard.two?.length === 2);
  await waitFor(async () => (await setup.count(deadQueue(setup.name.queue.commands))) === 2);
});
