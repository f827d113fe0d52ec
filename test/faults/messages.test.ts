import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { METHOD } from "../support/amqp-proxy.ts";
import type { Work } from "../support/ledger-consumer.ts";
import { waitFor } from "../support/wait-for.ts";
import { APART } from "./contracts.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { World } from "./world.ts";

/* 12 to 14, 16, 17, 23 and 25: messages that come twice, in the wrong order or not at all, and poison. */

const withConsumer =
  (work: Work, more = {}) =>
  async (world: World) => {
    await Promise.all([world.startInstance("a"), world.startInstance("b")]);
    world.startConsumer({ work, ...more });
  };
const together = true;

scenario({
  name: "12 every trigger and every status delivered twice",
  together,
  async start(world) {
    await Promise.all([world.startInstance("a"), world.startInstance("b")]);
    const consumer = world.startConsumer({ copies: 2 });
    // Another copy of each trigger goes into the queue that it came from.
    const copied = new Set<string>();
    let looked = 0;
    setInterval(() => {
      for (const { id, queue, body } of consumer.deliveries.slice(looked)) {
        looked += 1;
        if (copied.has(id)) continue;
        copied.add(id);
        void consumer.publish("", queue, body, { messageId: id }).catch(() => {});
      }
    }, 50).unref();
  },
  fault: async () => {},
  async check(world) {
    const [consumer] = world.consumers;
    const events = new Set(consumer!.deliveries.map(({ id }) => id)).size;
    if (consumer!.deliveries.length < events * 1.9) throw new Error("the triggers did not come twice");
  },
});

scenario({
  name: "13 completed before started, progress in reverse, a stale attempt beside it",
  together,
  start: withConsumer(async (trigger, say, ack) => {
    await say("completed");
    await say("progress", { progress: 90, sequence: 3 });
    await say("progress", { progress: 10, sequence: 2 });
    await say("started");
    ack();
    void trigger;
  }),
  fault: async (world) => {
    await world.at(4);
    const [consumer] = world.consumers;
    for (const { data } of consumer!.deliveries.slice(0, 50)) {
      await consumer!.say({ ...data, attempt: 7 }, "failed", { error: { message: "an attempt that never was" } });
    }
  },
  expectations: { late: true },
});

scenario({
  name: "14 poison in the status queue: no JSON, wrong schema, future version, unknown run, 20 MB",
  together,
  async fault(world) {
    await world.at(2);
    const [consumer] = world.consumers;
    const status = `${world.prefix}.status`;
    const send = (body: string | Buffer) => consumer!.publish(status, "run.status.v1", Buffer.from(body));
    const event = (data: object, type = "run.status.v1") =>
      JSON.stringify({ specversion: "1.0", id: randomUUID(), type, source: "/poison", data });
    const run = consumer!.deliveries[0]!.data;
    await send("{ this is no JSON");
    await send(event({ run_id: run.run_id, attempt: 1, sequence: 1, status: "exploded" }));
    await send(event({ run_id: run.run_id, attempt: 1, sequence: 1, status: "completed" }, "run.status.v99"));
    await send(event({ run_id: run.run_id, attempt: 1, sequence: 1, status: "progress", message: "a\u0000b" }));
    await send(Buffer.alloc(20 * 1024 * 1024, 0x20));
    await send("");
  },
  expectations: { dead: { "status.dead": 6 } },
});

scenario({
  name: "16 consumers that stall: every fifth neither answers nor acknowledges for 12 s",
  together,
  start: (world) => {
    let count = 0;
    return withConsumer(
      async (_trigger, say, ack) => {
        if (count++ % 5 === 0) await sleep(12_000);
        await say("started");
        ack();
        await say("completed");
      },
      { prefetch: 50 },
    )(world);
  },
  fault: async () => {},
});

const SHORT_BEATS = MIXED.slice(0, 1).map((planned) => ({
  ...planned,
  columns: { ...planned.columns, heartbeat_seconds: 2, retry_backoff_seconds: 1, max_attempts: 5 },
}));

scenario({
  name: "23 consumers that die after `started`: every third; the next attempt starts its sequence at 1",
  together,
  plan: SHORT_BEATS,
  start: (world) => {
    let count = 0;
    return withConsumer(async (trigger, say, ack) => {
      await say("started", { sequence: 1 });
      ack();
      if (trigger.data.attempt === 1 && count++ % 3 === 0) return;
      await say("progress", { progress: 50, sequence: 2 });
      await say("completed", { sequence: 1 });
    })(world);
  },
  fault: async () => {},
  settle_seconds: 90,
  async check(world) {
    const [row] = await world.rows<{ n: number }>(
      "SELECT count(*)::int AS n FROM run_attempts WHERE status_reason = 'heartbeat_lost'",
    );
    if (row!.n === 0) throw new Error("no attempt was given up for its silence");
  },
});

scenario({
  name: "23 consumers answer before the publisher's confirm",
  together,
  async fault(world) {
    for (const at of [1, 3, 5]) {
      await world.at(at);
      for (const { toBroker } of world.instances) {
        toBroker.fromBroker = (frame, link) => frame.method !== METHOD.ack || toBroker.keepBack(frame, link);
      }
      await world.at(at + 1.5);
      for (const { toBroker } of world.instances) {
        toBroker.fromBroker = null;
        toBroker.release();
      }
    }
  },
});

scenario({
  name: "25 in a batch of 1,000 good ones: an exchange deleted, a row damaged by hand, a hand-set next_run_at",
  together,
  plan: [
    { name: "burst", count: 1_000, columns: { overlap: "allow" } },
    { name: "steady", count: 5, every: 1, columns: { overlap: "allow", catchup: "all" } },
    { name: "apart", count: 3, action: APART, columns: { overlap: "allow" } },
  ],
  async fault(world) {
    await world.at(1);
    await world.onBroker((channel) => channel.deleteExchange(`${world.prefix}.apart`));
    const at = new Date(world.start + 4_000).toISOString();
    await world.rows(
      `INSERT INTO schedules (name, kind, run_at, action) VALUES ('damaged', 'once', $1, 'work.item'),
         ('by hand', 'once', $1::timestamptz + interval '1 day', 'work.item')`,
      [at],
    );
    await waitFor(async () => (await world.rows("SELECT FROM schedules WHERE needs_planning")).length === 0);
    // What only a hand can do: the first breaks a CHECK when it fires, the second is due with the batch.
    await world.rows(`UPDATE schedules SET resolved = jsonb_set(resolved, '{priority}', '7') WHERE name = 'damaged'`);
    await world.rows("UPDATE schedules SET next_run_at = $1 WHERE name = 'by hand'", [at]);
    await world.at(7);
    const [damaged] = await world.rows<{ problem: string }>("SELECT problem FROM schedules WHERE name = 'damaged'");
    if (damaged?.problem == null) throw new Error("the damaged row was not set aside");
    await world.rows("DELETE FROM schedules WHERE name IN ('damaged', 'by hand')");
    await world.onBroker(async (channel) => {
      await channel.assertExchange(`${world.prefix}.apart`, "topic", { durable: true });
      const binding = world.topology.bindings.find(({ queue }) => queue === world.work(APART))!;
      await channel.bindQueue(binding.queue, binding.exchange, binding.routing_key);
    });
  },
  expectations: { others: true, ends: ["completed", "cancelled"] },
  settle_seconds: 90,
});
