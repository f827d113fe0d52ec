import { afterAll, beforeAll, expect, test } from "vitest";
import { names } from "../../src/messaging/topology.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { waitFor } from "../support/wait-for.ts";

let service: TestService;
let consumer: TestConsumer;
beforeAll(async () => {
  service = await startTestService();
  consumer = await startTestConsumer(service.names);
});
afterAll(async () => {
  await consumer.close();
  await service.stop();
});

test("dead letters are listed without being taken, and one is handed to its queue again", async () => {
  const queue = names(service.names.prefix).queue.work("scout.trigger", 1);
  const send = async (id: string, body: string) => {
    consumer.channel.sendToQueue(queue, Buffer.from(body), {
      messageId: id,
      type: "scout.trigger.v1",
      persistent: true,
    });
  };
  await send("one", '{"n":1}');
  await send("two", "no JSON");
  const { consumerTag } = await consumer.channel.consume(queue, (message) => consumer.channel.reject(message!, false));
  const box = service.broker.deadLetters;
  const listed = await waitFor(async () => {
    const letters = await box.list([queue], 10);
    return letters.length === 2 && letters;
  });
  await consumer.channel.cancel(consumerTag);
  expect(listed).toMatchObject([
    { queue, message_id: "one", type: "scout.trigger.v1", reason: "rejected", body: { n: 1 } },
    { queue, message_id: "two", reason: "rejected", body: "no JSON" },
  ]);
  expect(await box.list([queue], 1)).toEqual([listed[0]]);

  expect(await box.requeue(listed[1]!.id)).toMatchObject({ outcome: "confirmed", letter: { message_id: "two" } });
  expect(await box.requeue(listed[1]!.id)).toBeNull();
  expect(await box.requeue("no-such-queue:1234")).toBeNull();
  expect(await box.list([queue], 10)).toEqual([listed[0]]);
  const depths = await waitFor(async () => {
    const found = await service.broker.depths([queue, "no-such-queue"]);
    return found.get(queue)?.messages === 1 && found;
  });
  expect([...depths]).toEqual([[queue, { messages: 1, consumers: 0 }]]);
  const again = await consumer.channel.get(queue, { noAck: true });
  expect(again ? again.content.toString() : null).toBe("no JSON");
});
