import type { GetMessage } from "amqplib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
let broker: TestBroker;
let instance: Instance;
let consumer: TestConsumer;
beforeAll(async () => {
  database = await createTestDatabase();
  broker = createTestBroker();
  const environment = { AMQP_URL: broker.url, TOPOLOGY_PREFIX: broker.prefix, DATABASE_URL: database.url };
  instance = await startInstance(environment);
  consumer = await startTestConsumer(broker);
});
afterAll(async () => {
  await instance.stop();
  await consumer.close();
  await broker.drop();
  await database.drop();
});

test("a work queue and an exchange that somebody deletes come back, and the run that found them gone goes out", async () => {
  await consumer.channel.deleteQueue(`${broker.prefix}.work.scan.run.v1`);
  await consumer.channel.deleteExchange(`${broker.prefix}.triggers`);
  const response = await fetch(`${instance.url}/v1/runs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ action: "scan.run", payload: { targets_file: "targets.txt" } }),
  });
  expect(response.status).toBe(201);
  const { id } = (await response.json()) as { id: string };
  // Asked for before it is read: reading a queue whose leader is not up yet makes the broker close the connection (541).
  const queue = `${broker.prefix}.work.scan.run.v1`;
  const isThere = async () => {
    const channel = await consumer.open();
    const found = await channel.checkQueue(queue).catch(() => null);
    await channel.close().catch(() => undefined);
    return found?.messageCount === 1;
  };
  await waitFor(isThere, { timeoutMs: 15_000, intervalMs: 100, describe: "the trigger in the queue that was deleted" });
  const message = (await consumer.channel.get(queue, { noAck: true })) as GetMessage;
  expect(JSON.parse(message.content.toString())).toMatchObject({ id: `${id}:1`, type: "scan.run.v1" });
});
