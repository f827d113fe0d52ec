import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { check, parseEnvelope } from "../../../src/contracts/parse.ts";
import { runTrigger } from "../../../src/contracts/run-trigger.ts";
import { type TriggerFacts, triggerBody, triggerMessage } from "../../../src/messaging/trigger-event.ts";

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
  target: null,
  priority: "normal",
  timeout_seconds: 7200,
  heartbeat_seconds: 60,
  payload_json: '{"source": "stratninja", "max_strategies": 20}',
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};
const now = Date.parse("2026-11-21T07:00:00.012Z");
const start_before = Date.parse("2026-11-22T07:00:00Z");
const route = { exchange: "pocketwatch.triggers", routing_key: "scout.trigger.v1" };

const message = (of: TriggerFacts, before: number | null = start_before) =>
  triggerMessage(of, triggerBody(of), route, now, before);

describe("the trigger event", () => {
  test("is the design's example", () => {
    expect(JSON.parse(message(facts).body.toString())).toEqual({
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
      scheduled_for: fc.integer({ min: 0, max: 4e12 }),
      priority: fc.constantFrom("high", "normal", "low"),
      timeout_seconds: fc.option(fc.integer({ min: 1, max: 1e9 })),
      heartbeat_seconds: fc.option(fc.integer({ min: 0, max: 1e6 })),
      traceparent: text,
      payload_json: fc.dictionary(text, text).map((value) => JSON.stringify(value)),
    }) as unknown as fc.Arbitrary<TriggerFacts>;
    const instant = fc.integer({ min: 0, max: 4e12 });
    fc.assert(
      fc.property(some, instant, fc.option(instant), (facts, time, before) => {
        const { body } = triggerMessage(facts, triggerBody(facts), route, time, before);
        const envelope = parseEnvelope(body as Buffer);
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
        expect(envelope.value.time).toBe(new Date(time).toISOString());
        expect(data.value.start_before && Date.parse(data.value.start_before)).toBe(before);
      }),
    );
  });

  test("travels as a message with the same id, type and trace context", () => {
    const { body, ...properties } = message(facts);
    expect(JSON.parse(body.toString())).toMatchObject({ id: properties.message_id, type: properties.type });
    expect(properties).toEqual({
      ...route,
      message_id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e:1",
      type: "scout.trigger.v1",
      content_type: "application/cloudevents+json",
      priority: 4,
      expiration_ms: 86_399_988,
      headers: { traceparent: facts.traceparent },
    });
    expect(message({ ...facts, priority: "high" })).toMatchObject({ priority: 9 });
    expect(message({ ...facts, priority: "low" })).toMatchObject({ priority: 1 });
  });

  test.each([
    ["without a start deadline", null, undefined],
    ["past its start deadline: expires at once", now - 5, 0],
    ["with a fraction of a millisecond left: whole ones", now + 86_399_988.7, 86_399_988],
    ["beyond what RabbitMQ takes", now + 2 ** 32, undefined],
    ["at RabbitMQ's limit", now + 2 ** 32 - 1, 2 ** 32 - 1],
  ])("%s", (_, before, expiration_ms) => {
    expect(message(facts, before).expiration_ms).toBe(expiration_ms);
  });

  test("says its instants when it is published, however long ago its body was made", () => {
    const body = triggerBody(facts);
    for (const [time, before] of [
      [now, start_before],
      [now + 1, null],
      [now + 2, start_before + 2],
    ] as const) {
      const said = JSON.parse(triggerMessage(facts, body, route, time, before).body.toString());
      expect(Date.parse(said.time)).toBe(time);
      expect(said.data.start_before && Date.parse(said.data.start_before)).toBe(before);
    }
  });

  // A row written by hand.
  test("has room for the latest instant that there is, and refuses none at all", () => {
    const said = JSON.parse(message(facts, 8.64e15).body.toString());
    expect(said).toMatchObject({ data: { run_id: facts.run_id, start_before: "+275760-09-13T00:00:00Z" } });
    expect(() => message(facts, Number.POSITIVE_INFINITY)).toThrow(RangeError);
  });
});
