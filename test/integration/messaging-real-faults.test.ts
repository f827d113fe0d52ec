import { pino } from "pino";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { disposableBroker } from "../../dev/services/find-services.ts";
import type { Broker as Node } from "../../dev/services/service.ts";
import type { Action } from "../../src/contracts/action-registry.ts";
import { createBroker } from "../../src/messaging/broker.ts";
import { buildTopology, names } from "../../src/messaging/topology.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { waitFor } from "../support/wait-for.ts";
import { ready, tally } from "./messaging-setup.ts";

// A node of this file's own: what is done to it here nobody else could bear.
let node: Node;
beforeAll(async () => {
  node = await disposableBroker(() => undefined);
}, 120_000);
afterAll(() => node?.remove(), 60_000);

let number = 0;

function start() {
  const prefix = `faults-${++number}`;
  const job = { name: "job", version: 1, exchange: null, routing_key: "job.v1", queue: { type: "quorum" } } as Action;
  const broker = createBroker({
    url: node.url,
    prefix,
    instance: "test",
    logger: pino({ level: "silent" }),
    clock: systemClock,
    topology: () => buildTopology(prefix, [job]),
  });
  onTestFinished(() => broker.close(2_000));
  const seen = new Set<string>();
  broker.consume({
    queue: { name: names(prefix).queue.work("job", 1) },
    prefetch: 200,
    batch_size: 50,
    handle: async (batch) => {
      for (const delivery of batch) {
        seen.add(delivery.body.toString());
        delivery.ack();
      }
    },
  });
  const publish = (ids: readonly string[], timeout_ms = 5_000) =>
    broker.publisher.publish(
      ids.map((id) => ({ exchange: `${prefix}.triggers`, routing_key: "job.v1", body: id, message_id: id })),
      timeout_ms,
    );
  return { broker, seen, publish };
}

const ids = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name} ${index}`);

test("a memory alarm holds publishing back and not consuming, and passes", async () => {
  const { broker, seen, publish } = start();
  await ready(broker);
  expect(tally(await publish(ids("before", 100)))).toEqual({ confirmed: 100 });
  await node.ctl(["set_vm_memory_high_watermark", "absolute", "1MB"]);
  // RabbitMQ tells a connection only once it publishes: that batch is stuck, and unknown in the end.
  expect(tally(await publish(ids("during", 10), 500))).toEqual({ unknown: 10 });
  await waitFor(() => broker.state().publishing === "blocked");
  expect(broker.publisher.ready).toBe(false);
  expect(broker.state().consuming).toBe("connected");
  const started = performance.now();
  expect(tally(await publish(ids("blocked", 10), 60_000))).toEqual({ unknown: 10 });
  expect(performance.now() - started).toBeLessThan(1_000);
  await node.ctl(["set_vm_memory_high_watermark", "0.4"]);
  await ready(broker);
  expect(tally(await publish(ids("after", 100)))).toEqual({ confirmed: 100 });
  // What was stuck may have got through when the alarm passed, or not (it is unknown); what was confirmed has.
  await waitFor(() => [...ids("before", 100), ...ids("after", 100)].every((id) => seen.has(id)));
  expect(ids("blocked", 10).some((id) => seen.has(id))).toBe(false);
}, 60_000);

test("connections closed by an administrator come back, and nothing confirmed is lost", async () => {
  const { broker, seen, publish } = start();
  await ready(broker);
  const confirmed: string[] = [];
  let closing = true;
  const closed = node.ctl(["close_all_connections", "a test"]).finally(() => {
    closing = false;
  });
  for (let round = 0; closing || round < 20; round++) {
    const some = ids(`round ${round}`, 200);
    const outcomes = await publish(some);
    confirmed.push(...some.filter((_, index) => outcomes[index] === "confirmed"));
    expect(Object.keys(tally(outcomes)).every((outcome) => outcome === "confirmed" || outcome === "unknown")).toBe(
      true,
    );
    if (!broker.publisher.ready) await ready(broker);
  }
  await closed;
  await ready(broker);
  await waitFor(() => confirmed.every((id) => seen.has(id)));
  expect(confirmed.length).toBeGreaterThan(1_000);
}, 60_000);

test("a broker that restarts, in good order or not, is found again with everything confirmed", async () => {
  const { broker, seen, publish } = start();
  await ready(broker);
  expect(tally(await publish(ids("first", 100)))).toEqual({ confirmed: 100 });
  await node.stop();
  await waitFor(() => !broker.publisher.ready);
  expect(tally(await publish(ids("away", 10)))).toEqual({ unknown: 10 });
  await node.start();
  await waitFor(() => broker.publisher.ready, { timeoutMs: 20_000 });
  expect(tally(await publish(ids("second", 100)))).toEqual({ confirmed: 100 });
  await waitFor(() => seen.size === 200);
  await node.kill();
  await node.start();
  await waitFor(() => broker.publisher.ready, { timeoutMs: 20_000 });
  expect(tally(await publish(ids("third", 100), 10_000))).toEqual({ confirmed: 100 });
  await waitFor(() => seen.size === 300);
}, 120_000);

test("a broker that hangs is not ready until it answers", async () => {
  const { broker, seen, publish } = start();
  await ready(broker);
  expect(tally(await publish(ids("before", 100)))).toEqual({ confirmed: 100 });
  await node.pause();
  expect(tally(await publish(ids("hanging", 100), 500))).toEqual({ unknown: 100 });
  expect(broker.publisher.ready).toBe(false);
  await node.resume();
  await ready(broker);
  expect(tally(await publish(ids("after", 100)))).toEqual({ confirmed: 100 });
  // What hung is unknown: the queue's members may have lost it on the way, each of them having been frozen.
  await waitFor(() => [...ids("before", 100), ...ids("after", 100)].every((id) => seen.has(id)));
}, 60_000);
