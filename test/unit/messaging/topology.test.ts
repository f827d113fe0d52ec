import { describe, expect, test } from "vitest";
import { buildTopology, deadQueue, names, triggerRoute } from "../../../src/messaging/topology.ts";

const quorum = { name: "scout.trigger", version: 1, exchange: null, routing_key: "scout.trigger.v1" };
const classic = { name: "crawl.run", version: 2, exchange: "crawlers", routing_key: "crawl" };
const actions = [
  { ...quorum, queue: { type: "quorum" } },
  { ...classic, queue: { type: "classic", max_priority: 5 } },
] as unknown as Parameters<typeof buildTopology>[1];

const topology = buildTopology("pw", actions);
const queue = (name: string) => topology.queues.find((candidate) => candidate.name === name)?.arguments;

describe("the topology", () => {
  test("has the design's exchanges, and the action's own, which is not ours", () => {
    expect(topology.exchanges.map(({ name, ours }) => [name, ours])).toEqual([
      ["pw.triggers", true],
      ["pw.status", true],
      ["pw.commands", true],
      ["pw.control", true],
      ["pw.events", true],
      ["pw.channels", true],
      ["pw.dead-letters", true],
      ["crawlers", false],
    ]);
  });

  test("has a work queue for each action, bound to its exchange", () => {
    expect(queue("pw.work.scout.trigger.v1")).toEqual({
      "x-queue-type": "quorum",
      "x-delivery-limit": 5,
      "x-dead-letter-exchange": "pw.dead-letters",
      "x-dead-letter-routing-key": "pw.work.scout.trigger.v1",
    });
    expect(queue("pw.work.crawl.run.v2")).toEqual({
      "x-queue-type": "classic",
      "x-max-priority": 5,
      "x-dead-letter-exchange": "pw.dead-letters",
      "x-dead-letter-routing-key": "pw.work.crawl.run.v2",
    });
    expect(topology.bindings).toContainEqual({
      queue: "pw.work.scout.trigger.v1",
      exchange: "pw.triggers",
      routing_key: "scout.trigger.v1",
    });
    expect(topology.bindings).toContainEqual({
      queue: "pw.work.crawl.run.v2",
      exchange: "crawlers",
      routing_key: "crawl",
    });
    expect(triggerRoute("pw", quorum)).toEqual({ exchange: "pw.triggers", routing_key: "scout.trigger.v1" });
    expect(triggerRoute("pw", classic)).toEqual({ exchange: "crawlers", routing_key: "crawl" });
  });

  test("the service's own queues are never emptied by a delivery limit", () => {
    for (const name of [names("pw").queue.status, names("pw").queue.commands, names("pw").queue.rejected_triggers]) {
      expect(queue(name)).toMatchObject({ "x-queue-type": "quorum" });
      expect(queue(name)?.["x-delivery-limit"]).toBeGreaterThan(1_000_000);
    }
  });

  test("every queue has its dead letters, bounded, and they end there", () => {
    const alive = topology.queues.filter(({ name }) => !name.endsWith(".dead"));
    expect(topology.queues).toHaveLength(2 * alive.length);
    for (const { name, arguments: args } of alive) {
      expect(args).toMatchObject({ "x-dead-letter-exchange": "pw.dead-letters", "x-dead-letter-routing-key": name });
      expect(queue(deadQueue(name))?.["x-max-length"]).toBeGreaterThan(0);
      expect(queue(deadQueue(name))).not.toHaveProperty("x-dead-letter-exchange");
      expect(topology.bindings).toContainEqual({
        queue: deadQueue(name),
        exchange: "pw.dead-letters",
        routing_key: name,
      });
    }
  });

  test("names its type for every queue, and no priorities for a quorum queue", () => {
    for (const { arguments: args } of topology.queues) {
      expect(args["x-queue-type"]).toMatch(/^(quorum|classic)$/);
      if (args["x-queue-type"] === "quorum") expect(args).not.toHaveProperty("x-max-priority");
    }
  });

  test("is the same for the same actions", () => {
    expect(buildTopology("pw", actions)).toEqual(topology);
  });

  test("queue names fit AMQP with the longest name and version", () => {
    const longest = { ...quorum, name: "a".repeat(128), version: 9999, queue: { type: "quorum" } };
    const { queues } = buildTopology("p".repeat(64), [longest] as unknown as typeof actions);
    for (const { name } of queues) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
  });
});
