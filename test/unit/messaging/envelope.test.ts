import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { check, parseEnvelope } from "../../../src/contracts/parse.ts";
import { runTrigger } from "../../../src/contracts/run-trigger.ts";
import { isTraceparent } from "../../../src/contracts/trace-context.ts";
import { eventMessage, type TriggerFacts, triggerEnvelope, triggerMessage } from "../../../src/messaging/envelope.ts";

const facts: TriggerFacts = {
  run_id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e",
  attempt: 1,
  schedule_id: "0199e1aa-0000-7000-8000-000000000001",
  schedule_name: "Daily StratNinja Scout",
  action: "scout.trigger",
  action_version: 1,
  trigger_type: "scheduled",
  triggered_by: "Daily StratNinja Scout",
  scheduled_for: Date.parse("2026-11-21T07:00:00Z"),
  start_before: Date.parse("2026-11-22T07:00:00Z"),
  target: null,
  priority: "normal",
  timeout_seconds: 7200,
  heartbeat_seconds: 60,
  payload_json: '{"source": "stratninja", "max_strategies": 20}',
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};
const now = Date.parse("2026-11-21T07:00:00.012Z");
const route = { exchange: "pocketwatch.triggers", routing_key: "scout.trigger.v1" };

describe("the trigger event", () => {
  test("is the design's example", () => {
    expect(JSON.parse(triggerEnvelope(facts, now))).toEqual({
      specversion: "1.0",
      id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e:1",
      type: "scout.trigger.v1",
      source: "/pocketwatch",
      subject: "schedules/0199e1aa-0000-7000-8000-000000000001",
      time: "2026-11-21T07:00:00.012Z",
      datacontenttype: "application/json",
      dataschema: "https://pocketwatch.dev/contracts/run-trigger.v1.schema.json",
      traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      data: {
        run_id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e",
        attempt: 1,
        schedule_id: "0199e1aa-0000-7000-8000-000000000001",
        schedule_name: "Daily StratNinja Scout",
        action: "scout.trigger",
        action_version: 1,
        trigger_type: "scheduled",
        triggered_by: "Daily StratNinja Scout",
        scheduled_for: "2026-11-21T07:00:00Z",
        start_before: "2026-11-22T07:00:00Z",
        target: null,
        priority: "normal",
        timeout_seconds: 7200,
        heartbeat_seconds: 60,
        payload: { source: "stratninja", max_strategies: 20 },
      },
    });
  });

  test("keeps its published contract whatever names and payloads are in it", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 100 }).filter((value) => !value.includes("\0"));
    const some = fc.record({
      ...Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, fc.constant(value)])),
      attempt: fc.integer({ min: 1, max: 1000 }),
      schedule_id: fc.option(fc.uuid()),
      schedule_name: fc.option(text),
      triggered_by: fc.option(text),
      target: fc.option(text),
      start_before: fc.option(fc.integer({ min: 0, max: 4e12 })),
      scheduled_for: fc.integer({ min: 0, max: 4e12 }),
      priority: fc.constantFrom("high", "normal", "low"),
      timeout_seconds: fc.option(fc.integer({ min: 1, max: 1e9 })),
      heartbeat_seconds: fc.option(fc.integer({ min: 0, max: 1e6 })),
      traceparent: text,
      payload_json: fc.dictionary(text, text).map((value) => JSON.stringify(value)),
    }) as unknown as fc.Arbitrary<TriggerFacts>;
    fc.assert(
      fc.property(some, (facts) => {
        const envelope = parseEnvelope(Buffer.from(triggerEnvelope(facts, now)));
        if (!envelope.ok) throw new Error(envelope.reason);
        expect(envelope.value.traceparent).toBe(facts.traceparent);
        const data = check(runTrigger, envelope.value.data, "data");
        if (!data.ok) throw new Error(data.reason);
        expect(data.value).toMatchObject({
          schedule_name: facts.schedule_name,
          triggered_by: facts.triggered_by,
          target: facts.target,
          heartbeat_seconds: facts.heartbeat_seconds || null,
          payload: JSON.parse(facts.payload_json),
        });
        expect(Date.parse(data.value.scheduled_for)).toBe(facts.scheduled_for);
      }),
    );
  });

  test("travels as a message with the same id, type and trace context", () => {
    expect(triggerMessage(facts, route, now, 86_399_988.7)).toEqual({
      ...route,
      body: triggerEnvelope(facts, now),
      message_id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e:1",
      type: "scout.trigger.v1",
      content_type: "application/cloudevents+json",
      priority: 4,
      expiration_ms: 86_399_988,
      headers: { traceparent: facts.traceparent },
    });
    expect(triggerMessage({ ...facts, priority: "high" }, route, now, null)).toMatchObject({ priority: 9 });
    expect(triggerMessage({ ...facts, priority: "low" }, route, now, null)).toMatchObject({ priority: 1 });
  });

  test.each([
    ["without a start deadline", null, undefined],
    ["past its start deadline: expires at once", -5, 0],
    ["beyond what RabbitMQ takes", 2 ** 32, undefined],
    ["at RabbitMQ's limit", 2 ** 32 - 1, 2 ** 32 - 1],
  ])("%s", (_, left, expiration_ms) => {
    expect(triggerMessage(facts, route, now, left).expiration_ms).toBe(expiration_ms);
  });
});

test("an event is published under its type", () => {
  const message = eventMessage(
    {
      id: "e1",
      type: "schedules.reloaded.v1",
      time: now,
      data: { instance: "host-1", planned: 3, problems: [] },
      traceparent: null,
    },
    "pocketwatch.events",
  );
  expect(message).toMatchObject({
    exchange: "pocketwatch.events",
    routing_key: "schedules.reloaded.v1",
    message_id: "e1",
    type: "schedules.reloaded.v1",
    headers: undefined,
  });
  expect(JSON.parse(message.body as string)).toEqual({
    specversion: "1.0",
    id: "e1",
    type: "schedules.reloaded.v1",
    source: "/pocketwatch",
    time: "2026-11-21T07:00:00.012Z",
    datacontenttype: "application/json",
    dataschema: "https://pocketwatch.dev/contracts/schedules-reloaded.v1.schema.json",
    data: { instance: "host-1", planned: 3, problems: [] },
  });
});

test.each([
  ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true],
  ["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", true],
  ["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false],
  ["00-00000000000000000000000000000000-00f067aa0ba902b7-01", false],
  ["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false],
  ["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false],
  ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false],
  ["", false],
  [undefined, false],
])("trace context %s: %s", (text, expected) => {
  expect(isTraceparent(text)).toBe(expected);
});
