import { afterAll, beforeAll, expect, test } from "vitest";
import { executeCommand } from "../../src/commands/execute-command.ts";
import { receiveSignals } from "../../src/commands/receive.ts";
import { type Command, parseCommand } from "../../src/contracts/parse.ts";
import type { Delivery } from "../../src/messaging/delivery.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
let schedule: { id: string; name: string };
beforeAll(async () => {
  service = await startHttpService();
  schedule = (await service.ask("POST", "/v1/schedules", scout("commanded", { overlap: "allow" }))).body;
});
afterAll(() => service.stop());

const payload = { source: "stratninja", max_strategies: 5 };

/** As it would come from the queue. */
function command(
  type: string,
  data: unknown,
  more: { id?: string; source?: string; traceparent?: string } = {},
): Command {
  const envelope = { specversion: "1.0", id: "1", source: "/planner", type, data, ...more };
  const parsed = parseCommand(Buffer.from(JSON.stringify(envelope)));
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.value;
}
const runs = () => service.rows<Record<string, unknown>>("SELECT * FROM runs ORDER BY created_at, id");
const execute = (...asked: Parameters<typeof command>) => executeCommand(service.deps, command(...asked));

test("a schedule is triggered once per source and id", async () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const data = { schedule: "commanded", priority: "high", payload: { ...payload, max_strategies: 1 } };
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, () => execute("run.trigger.v1", data, { id: "t1", traceparent })),
  );
  expect(outcomes.filter(({ outcome }) => outcome === "done")).toHaveLength(1);
  expect(outcomes.filter(({ outcome }) => outcome === "repeated")).toHaveLength(19);
  expect(await runs()).toMatchObject([
    {
      schedule_id: schedule.id,
      trigger_type: "manual",
      triggered_by: "/planner",
      priority: 1,
      payload: { max_strategies: 1 },
      traceparent,
    },
  ]);
  await execute("run.trigger.v1", data, { id: "t1", source: "/somebody-else" });
  expect(await runs()).toHaveLength(2);
});

test("an action is run, with its policy", async () => {
  const data = { action: "scout.trigger", payload, retry: { max_attempts: 9 }, targets: ["x", "y"] };
  expect(await execute("run.trigger.v1", data, { id: "a1" })).toEqual({ outcome: "done" });
  expect((await runs()).at(-1)).toMatchObject({ schedule_id: null, child_total: 2, policy: { max_attempts: 9 } });
});

test.each([
  ["an unknown schedule", { schedule: "none" }, "there is no schedule"],
  ["a payload that breaks its contract", { schedule: "commanded", payload: {} }, "payload.source"],
  ["an unknown action", { action: "no.such", payload: {} }, "there is no action"],
  ["an unknown pool", { action: "scout.trigger", payload, pool: "none" }, "pool"],
])("%s is refused with the reason", async (_, data, reason) => {
  const outcome = await execute("run.trigger.v1", data, { id: `refused ${reason}` });
  expect(outcome).toEqual({ outcome: "refused", reason: expect.stringContaining(reason) });
});

test("a run is cancelled; cancelling what has ended is no mistake, cancelling what is not there is", async () => {
  const [run] = await runs();
  expect(await execute("run.cancel.v1", { run_id: run!.id, reason: "stop" })).toEqual({ outcome: "done" });
  expect((await runs())[0]).toMatchObject({ cancel_reason: "stop" });
  await service.rows("UPDATE runs SET status = 'completed', completed_at = now() WHERE id = $1", [run!.id]);
  expect((await execute("run.cancel.v1", { run_id: run!.id })).outcome).toBe("done");
  const unknown = { run_id: "0199e1aa-0000-7000-8000-000000000001" };
  expect((await execute("run.cancel.v1", unknown)).outcome).toBe("refused");
});

test("a reload is carried out once per instance, and not by the one that asked for it", async () => {
  expect((await execute("schedules.reload.v1", {}, { id: "r1" })).outcome).toBe("done");
  expect((await execute("schedules.reload.v1", {}, { id: "r1" })).outcome).toBe("repeated");
  const sibling = { ...service.deps, instance: "test-2" };
  expect((await executeCommand(sibling, command("schedules.reload.v1", {}, { id: "r1" }))).outcome).toBe("done");

  await service.ask("POST", "/v1/scheduler/reload");
  const [message] = await service.rows<{ message_id: string }>(
    "SELECT message_id FROM outbox WHERE routing_key = 'schedules.reload.v1'",
  );
  const heard = command("schedules.reload.v1", {}, { id: message!.message_id, source: "/pocketwatch" });
  expect((await executeCommand(service.deps, heard)).outcome).toBe("repeated");
  expect((await executeCommand(sibling, heard)).outcome).toBe("done");
});

test("a database that is away refuses nothing: the command is to be tried again", async () => {
  const away = { ...service.deps.database, transaction: () => Promise.reject(new Error("away")) };
  const deps = { ...service.deps, database: away as typeof service.deps.database };
  await expect(executeCommand(deps, command("run.trigger.v1", { schedule: "commanded" }))).rejects.toThrow("away");
});

test("a signal fires by its channel; one that says something else under the same id, or cannot be stored, stops nobody", async () => {
  const timing = { kind: "event" };
  const channel = "orders.*.paid";
  await service.ask("POST", "/v1/schedules", scout("paid", { timing, triggers: { channel }, overlap: "allow" }));
  const settled: string[] = [];
  const delivery = (routing_key: string, body: string, messageId?: string) =>
    ({
      routing_key,
      body: Buffer.from(body),
      properties: { messageId },
      ack: () => settled.push("ack"),
      deadLetter: (reason: string) => settled.push(reason),
    }) as unknown as Delivery;
  await receiveSignals(service.deps, [
    delivery("orders.eu.paid", '{"order":1}', "m1"),
    delivery("orders.eu.paid", '{"order":1}', "m1"),
    delivery("orders.eu.paid", '{"order":2}', "m1"),
    delivery("orders.us.paid", '{"order":"\\u0000"}', "m2"),
    delivery("orders.us.paid", "not JSON"),
    delivery("orders.eu.shipped", "{}"),
  ]);
  expect(settled).toEqual(Array(6).fill("ack"));
  const fired = await service.rows("SELECT 1 FROM runs WHERE schedule_name = 'paid'");
  expect(fired).toHaveLength(3);
});
