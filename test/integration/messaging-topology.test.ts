import { describe, expect, test } from "vitest";
import type { Action } from "../../src/contracts/action-registry.ts";
import { deadQueue } from "../../src/messaging/topology.ts";
import { waitFor } from "../support/wait-for.ts";
import { drain, jobs, ready, setUp, tally } from "./messaging-setup.ts";

const action = (change: Partial<Action>): Action =>
  ({ name: "job", version: 1, exchange: null, routing_key: "job.v1", queue: { type: "quorum" }, ...change }) as Action;

describe("declaring", () => {
  test("a second time changes nothing", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    const [one, two] = await Promise.all([broker.redeclare(), broker.redeclare()]);
    expect(one).toEqual([]);
    expect(two).toEqual([]);
    expect(broker.state().topology_problems).toEqual([]);
  });

  test("goes on where something exists in another form, and says what", async () => {
    const setup = await setUp();
    const queue = setup.name.queue.status;
    await setup.admin.assertQueue(queue, { durable: true, arguments: { "x-queue-type": "classic" } });
    await setup.admin.assertExchange(setup.name.exchange.events, "fanout");
    const broker = setup.start();
    await ready(broker);
    expect(broker.state().topology_problems).toEqual([
      { entity: `exchange ${setup.name.exchange.events}`, code: 406, message: expect.any(String) },
      { entity: `queue ${queue}`, code: 406, message: expect.any(String) },
    ]);
    expect(await broker.publisher.publish(jobs(setup, 1), 5_000)).toEqual(["confirmed"]);
    await setup.admin.deleteQueue(queue);
    await setup.admin.deleteExchange(setup.name.exchange.events);
    expect(await broker.redeclare()).toEqual([]);
  });

  test("before there is a connection is left to when there is one", async () => {
    const setup = await setUp();
    const broker = setup.start();
    expect(await broker.redeclare()).toEqual([
      { entity: "connection", code: null, message: "not connected; declared once it is" },
    ]);
    await ready(broker);
  });

  test("an action's own exchange is used as it is, and made only where it is missing", async () => {
    const setup = await setUp([
      action({ name: "direct", exchange: "pw-test-direct", routing_key: "d" }),
      action({ name: "made", exchange: "pw-test-made", routing_key: "m" }),
      action({ name: "old", queue: { type: "classic", max_priority: 5 }, routing_key: "o" }),
    ]);
    await setup.admin.assertExchange("pw-test-direct", "direct", { durable: false });
    const broker = setup.start();
    await ready(broker);
    expect(broker.state().topology_problems).toEqual([]);
    const [message] = jobs(setup, 1);
    if (!message) throw new Error();
    const outcomes = await broker.publisher.publish(
      [
        { ...message, exchange: "pw-test-direct", routing_key: "d" },
        { ...message, exchange: "pw-test-made", routing_key: "m" },
        { ...message, routing_key: "o", priority: 1, body: "low" },
        { ...message, routing_key: "o", priority: 9, body: "high" },
      ],
      5_000,
    );
    expect(tally(outcomes)).toEqual({ confirmed: 4 });
    expect((await drain(setup, setup.name.queue.work("old", 1))).map(({ content }) => content.toString())).toEqual([
      "high",
      "low",
    ]);
  });
});

describe("dead triggers", () => {
  test("rejected, they are kept and the service hears of them", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await broker.publisher.publish(jobs(setup, 1), 5_000);
    const message = await setup.admin.get(setup.queue);
    if (message) setup.admin.reject(message, false);
    for (const queue of [deadQueue(setup.queue), setup.name.queue.rejected_triggers]) {
      await waitFor(async () => (await setup.count(queue)) === 1);
      const [dead] = await drain(setup, queue);
      expect(dead?.properties.headers?.["x-death"]?.[0]).toMatchObject({ reason: "rejected", queue: setup.queue });
      expect(dead?.properties.headers?.["x-first-death-reason"]).toBe("rejected");
    }
  });

  test("delivered five times in vain, they are given up", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    await broker.publisher.publish(jobs(setup, 1), 5_000);
    let deliveries = 0;
    await waitFor(async () => {
      const message = await setup.admin.get(setup.queue);
      if (!message) return (await setup.count(setup.name.queue.rejected_triggers)) === 1;
      deliveries++;
      // Not nack, which RabbitMQ does not count as a failure from 4.3 on.
      setup.admin.reject(message, true);
      return false;
    });
    expect(deliveries).toBe(6);
    const [dead] = await drain(setup, setup.name.queue.rejected_triggers);
    expect(dead?.properties.headers?.["x-first-death-reason"]).toBe("delivery_limit");
  });

  test("expired, they are kept too", async () => {
    const setup = await setUp();
    const broker = setup.start();
    await ready(broker);
    expect(await broker.publisher.publish(jobs(setup, 1, { expiration_ms: 1 }), 5_000)).toEqual(["confirmed"]);
    await waitFor(async () => (await setup.count(deadQueue(setup.queue))) === 1);
    const [dead] = await drain(setup, deadQueue(setup.queue));
    expect(dead?.properties.headers?.["x-first-death-reason"]).toBe("expired");
    expect(dead?.properties.expiration).toBeUndefined();
  });
});

test("the service's own queues survive any number of redeliveries", async () => {
  const setup = await setUp();
  const broker = setup.start();
  await ready(broker);
  const queue = setup.name.queue.status;
  setup.admin.publish("", queue, Buffer.from("answer"));
  let deliveries = 0;
  await waitFor(async () => {
    const message = await setup.admin.get(queue);
    if (!message) return false;
    setup.admin.reject(message, true);
    return ++deliveries === 25;
  });
  await waitFor(async () => (await setup.count(queue)) === 1);
});
