import { expect, test } from "vitest";
import { isTraceparent } from "../../../src/contracts/trace-context.ts";
import { eventMessage } from "../../../src/messaging/envelope.ts";

test("an event is published under its type", () => {
  const message = eventMessage(
    {
      id: "e1",
      type: "schedules.reloaded.v1",
      time: Date.parse("2026-11-21T07:00:00.012Z"),
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
