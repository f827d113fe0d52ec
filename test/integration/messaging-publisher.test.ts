import { describe, expect, test } from "vitest";
import { channelNumber, rawConnection } from "../../src/messaging/raw-connection.ts";
import { waitFor } from "../support/wait-for.ts";
import { connectionClose, methodFrame, passOn, shortString } from "./messaging-frame-proxy.ts";
import { drain, jobs, ready, setUp, tally } from "./messaging-setup.ts";

// Refused by RabbitMQ 3.10 and 4.x alike, with 406 and the channel closed: an expiration beyond its timers.
const POISON = { expiration_ms: 2 ** 53 - 1 };

test("what the frame writer needs of amqplib is there", async () => {
  const { adminConnection, admin } = await setUp();
  const raw = rawConnection(adminConnection);
  expect(raw.frameMax).toBeGreaterThanOrEqual(4_096);
  expect(raw.blocked).toBe(false);
  expect(raw.sendBytes).toBeTypeOf("function");
  expect(raw.stream.writableLength).toBeTypeOf("number");
  expect(channelNumber(admin)).toBe(1);
});

describe("outcomes", () => {
  test("each message gets its own, in order, whatever its neighbours do", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const [good] = jobs(setup, 1);
    if (!good) throw new Error();
    const outcomes = await broker.publisher.publish(
      [
        good,
        { ...good, message_id: "unbound", routing_key: "nobody" },
        { ...good, message_id: "gone", exchange: `${setup.prefix}.gone` },
        { ...good, message_id: "poison", ...POISON },
        { ...good, message_id: "long", routing_key: "k".repeat(300) },
        { ...good, message_id: "last" },
        { ...good, message_id: "gone too", exchange: `${setup.prefix}.gone` },
      ],
      5_000,
    );
    expect(outcomes).toEqual([
      "confirmed",
      "unroutable",
      "unroutable",
      "rejected",
      "rejected",
      "confirmed",
      "unroutable",
    ]);
    const ids = (await drain(setup, setup.queue)).map((message) => message.properties.messageId);
    expect(new Set(ids)).toEqual(new Set(["0", "last"]));
    expect(await broker.publisher.publish([], 1_000)).toEqual([]);
  });

  test("thousands at once are confirmed and arrive in order", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const half = jobs(setup, 20_000);
    const [first, second] = await Promise.all([
      broker.publisher.publish(half.slice(0, 12_000), 20_000),
      broker.publisher.publish(half.slice(12_000), 20_000),
    ]);
    expect(tally([...first, ...second])).toEqual({ confirmed: 20_000 });
    expect(await setup.count(setup.queue)).toBe(20_000);
    const head = await setup.admin.get(setup.queue, { noAck: true });
    expect(head ? head.content.toString() : null).toBe("0");
  });

  test("bodies of all sizes arrive as they were", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const sizes = [0, 1, 60_000, 65_536, 131_064, 131_065, 1_000_000, 3_000_000];
    const messages = sizes.flatMap((size) => [
      ...jobs(setup, 1, { message_id: `text ${size}`, body: "é".repeat(size / 2) }),
      ...jobs(setup, 1, { message_id: `bytes ${size}`, body: Buffer.alloc(size, size) }),
    ]);
    expect(tally(await broker.publisher.publish(messages, 10_000))).toEqual({ confirmed: messages.length });
    const found = await drain(setup, setup.queue);
    expect(found.map((message) => message.properties.messageId)).toEqual(messages.map((message) => message.message_id));
    for (const [index, { content }] of found.entries()) {
      expect(content.equals(Buffer.from(messages[index]?.body as string))).toBe(true);
    }
  });

  test("properties arrive as they were", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    await broker.publisher.publish(
      jobs(setup, 1, {
        type: "job.v1",
        content_type: "application/cloudevents+json",
        priority: 9,
        expiration_ms: 60_000,
        timestamp: 1_795_244_400,
        headers: { traceparent, count: 7, ratio: 0.5, flag: true, ключ: "значение" },
      }),
      5_000,
    );
    const [message] = await drain(setup, setup.queue);
    expect(message?.properties).toMatchObject({
      messageId: "0",
      type: "job.v1",
      contentType: "application/cloudevents+json",
      deliveryMode: 2,
      priority: 9,
      expiration: "60000",
      timestamp: 1_795_244_400,
      headers: { traceparent, count: 7, ratio: 0.5, flag: true, ключ: "значение" },
    });
  });

  test("a queue that is full refuses", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const queue = `${setup.prefix}.small`;
    await setup.admin.assertQueue(queue, {
      exclusive: true,
      maxLength: 10,
      arguments: { "x-overflow": "reject-publish" },
    });
    await setup.admin.bindQueue(queue, setup.name.exchange.triggers, "small");
    const outcomes = await broker.publisher.publish(jobs(setup, 500, { routing_key: "small" }), 5_000);
    expect(tally(outcomes).refused).toBeGreaterThan(0);
    expect(outcomes.slice(0, 10)).toEqual(new Array(10).fill("confirmed"));
    expect((tally(outcomes).refused ?? 0) + (tally(outcomes).confirmed ?? 0)).toBe(500);
  });
});

describe("a message the broker closes the channel over", () => {
  test("is found among a thousand, and its neighbours get through", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const messages = jobs(setup, 1_000).map((message, index) =>
      index % 400 === 7 ? { ...message, ...POISON } : message,
    );
    const outcomes = await broker.publisher.publish(messages, 10_000);
    expect(tally(outcomes)).toEqual({ confirmed: 997, rejected: 3 });
    expect([outcomes[7], outcomes[407], outcomes[807]]).toEqual(["rejected", "rejected", "rejected"]);
    // Some come twice, under one id: what was confirmed is not known when the channel closes.
    const ids = (await drain(setup, setup.queue)).map((message) => message.properties.messageId);
    expect(new Set(ids).size).toBe(997);
    expect(broker.publisher.ready).toBe(true);
  });

  test("does not take other batches on its way down", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const poison = jobs(setup, 1, { message_id: "poison", ...POISON });
    const batches = Array.from({ length: 8 }, (_, index) => jobs(setup, 50, { message_id: `${index}` }));
    const results = await Promise.all(
      [...batches.slice(0, 4), poison, ...batches.slice(4)].map((batch) => broker.publisher.publish(batch, 10_000)),
    );
    expect(tally(results.flat())).toEqual({ confirmed: 400, rejected: 1 });
    expect(results[4]).toEqual(["rejected"]);
  });
});

test("an exchange that is deleted and made again is published to again", async () => {
  const setup = await setUp();
  const broker = setup.start();
  await ready(broker);
  const exchange = setup.name.exchange.triggers;
  expect(tally(await broker.publisher.publish(jobs(setup, 3), 5_000))).toEqual({ confirmed: 3 });
  await setup.admin.deleteExchange(exchange);
  expect(tally(await broker.publisher.publish(jobs(setup, 3), 5_000))).toEqual({ unroutable: 3 });
  expect(broker.publisher.ready).toBe(true);
  expect(await broker.redeclare()).toEqual([]);
  expect(tally(await broker.publisher.publish(jobs(setup, 3), 5_000))).toEqual({ confirmed: 3 });
});

describe("when the broker does not answer", () => {
  test("what was not confirmed in time is unknown, and it is published to again once it answers", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    expect(tally(await broker.publisher.publish(jobs(setup, 100), 5_000))).toEqual({ confirmed: 100 });
    const changes: boolean[] = [];
    broker.publisher.onChange((now) => changes.push(now));
    // Acks are swallowed, and so are replies to channel.open: a broker that has gone silent.
    proxy.fromBroker = ({ method, bytes }) => (method === "60.80" || method === "20.11" ? [] : [bytes]);
    const outcomes = await broker.publisher.publish(jobs(setup, 100), 300);
    expect(tally(outcomes)).toEqual({ unknown: 100 });
    expect(broker.publisher.ready).toBe(false);
    proxy.fromBroker = passOn;
    // The reply that was swallowed never comes; a real broker would send it late. The link is given up then.
    proxy.cut();
    await ready(broker);
    expect(changes).toEqual([false, true]);
    expect(tally(await broker.publisher.publish(jobs(setup, 100), 5_000))).toEqual({ confirmed: 100 });
    expect(await setup.count(setup.queue)).toBe(300);
  });

  test("what it confirmed before it fell silent is known", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    let acks = 0;
    proxy.fromBroker = ({ method, bytes }) => (method === "60.80" && ++acks > 1 ? [] : [bytes]);
    const first = broker.publisher.publish(jobs(setup, 1), 1_000);
    expect(await first).toEqual(["confirmed"]);
    const second = await broker.publisher.publish(jobs(setup, 1), 200);
    expect(second).toEqual(["unknown"]);
    proxy.fromBroker = passOn;
    // Its channel was replaced, the connection stays.
    await ready(broker);
    expect(await broker.publisher.publish(jobs(setup, 1), 5_000)).toEqual(["confirmed"]);
    expect(setup.log.filter(({ msg }) => msg === "connected to RabbitMQ")).toHaveLength(2);
  });

  test("a connection that is lost mid-publish makes it unknown at once", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    proxy.fromBroker = ({ method, bytes }) => (method === "60.80" ? [] : [bytes]);
    const started = performance.now();
    const published = broker.publisher.publish(jobs(setup, 5_000), 60_000);
    await waitFor(async () => (await setup.count(setup.queue)) > 0);
    proxy.cut();
    expect(tally(await published)).toEqual({ unknown: 5_000 });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await broker.publisher.publish(jobs(setup, 1), 5_000)).toEqual(["unknown"]);
    proxy.fromBroker = passOn;
    await ready(broker);
    expect(tally(await broker.publisher.publish(jobs(setup, 10), 5_000))).toEqual({ confirmed: 10 });
  });

  test("a connection that is lost in the breath in which the channel opens makes it unknown at once", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    const CONFIRM_SELECT_OK = "85.11";
    proxy.fromBroker = ({ method, bytes }) => (method === CONFIRM_SELECT_OK ? [bytes, connectionClose(320)] : [bytes]);
    expect(tally(await broker.publisher.publish(jobs(setup, 100), 60_000))).toEqual({ unknown: 100 });
    proxy.fromBroker = passOn;
    await ready(broker);
    expect(tally(await broker.publisher.publish(jobs(setup, 100), 5_000))).toEqual({ confirmed: 100 });
  });

  test("while it blocks publishing nothing is sent, and the outcome is unknown", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    proxy.toClient(methodFrame(0, 10, 60, shortString("low on memory")));
    await waitFor(() => !broker.publisher.ready);
    expect(broker.state().publishing).toBe("blocked");
    expect(await broker.publisher.publish(jobs(setup, 1), 60_000)).toEqual(["unknown"]);
    expect(await setup.count(setup.queue)).toBe(0);
    proxy.toClient(methodFrame(0, 10, 61, Buffer.alloc(0)));
    await ready(broker);
    expect(await broker.publisher.publish(jobs(setup, 1), 5_000)).toEqual(["confirmed"]);
  });
});
