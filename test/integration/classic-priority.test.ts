import { afterAll, beforeAll, expect, test } from "vitest";
import { dispatch } from "../../src/passes/dispatch.ts";
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

test("in a classic queue with x-max-priority all three levels hold in the broker too", async () => {
  const queue = `${service.names.prefix}.work.crawl.run.v1`;
  // The least urgent first, each handed over on its own: the order they come out in is the broker's doing.
  for (const priority of [3, 2, 1]) {
    await service.rows(
      `INSERT INTO runs (action, action_version, payload, trigger_type, scheduled_for, priority, pool, policy)
       VALUES ('crawl.run', 1, '{"url": "https://a.example/"}', 'manual', now(), $1, 'crawlers',
         '{"timeout_seconds": 60, "heartbeat_seconds": null, "start_deadline_seconds": 60, "notify_on": []}')`,
      [priority],
    );
    const result = await dispatch(service.deps);
    await result.published;
    expect(result.dispatched).toBe(1);
  }
  await waitFor(async () => (await consumer.channel.checkQueue(queue)).messageCount === 3);
  const came: string[] = [];
  for (let index = 0; index < 3; index += 1) {
    const message = await consumer.channel.get(queue, { noAck: true });
    came.push(message ? JSON.parse(message.content.toString()).data.priority : "none");
  }
  expect(came).toEqual(["high", "normal", "low"]);
});
