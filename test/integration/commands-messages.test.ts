import { afterAll, beforeAll, expect, test } from "vitest";
import { answerRequests } from "../../src/commands/answer-requests.ts";
import { executeCommand } from "../../src/commands/execute-command.ts";
import { type Command, parseCommand } from "../../src/contracts/parse.ts";
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

test("what administrators ask for by SQL is carried out, or refused in the same row", async () => {
  const ask = (columns: string, ...values: unknown[]) =>
    service.rows(
      `INSERT INTO requests (source, ${columns}) VALUES ('sql', ${values.map((_, index) => `$${index + 1}`).join(", ")})`,
      values,
    );
  await ask("schedule_name", "commanded");
  await ask("schedule_name, payload", "commanded", JSON.stringify({ source: "by hand", max_strategies: 2 }));
  await ask("schedule_name, payload", "commanded", JSON.stringify({ source: 5 }));
  await ask("schedule_name", "none");
  await ask("key", "nothing named");
  expect(await answerRequests(service.deps)).toMatchObject({ answered: 2, refused: 3, full: false });

  const answered = await service.rows<Record<string, unknown>>(
    `SELECT q.status, q.problem, r.payload->>'source' AS source, r.triggered_by FROM requests q
     LEFT JOIN runs r ON r.id = q.run_id WHERE q.source = 'sql' ORDER BY q.id`,
  );
  expect(answered).toMatchObject([
    { status: "done", problem: null, source: "stratninja", triggered_by: "postgres" },
    { status: "done", problem: null, source: "by hand" },
    { status: "refused", problem: expect.stringContaining("payload.source"), source: null },
    { status: "refused", problem: expect.stringContaining("none") },
    { status: "refused", problem: expect.stringContaining("schedule_name") },
  ]);
  expect(await answerRequests(service.deps)).toMatchObject({ answered: 0, refused: 0 });
});

test("requests are shared out among instances, each carried out once", async () => {
  await service.rows(
    "INSERT INTO requests (source, schedule_name) SELECT 'many', 'commanded' FROM generate_series(1, 30)",
  );
  const results = await Promise.all([1, 2, 3].map(() => answerRequests(service.deps)));
  expect(results.reduce((sum, { answered }) => sum + answered, 0)).toBe(30);
  const [row] = await service.rows("SELECT count(DISTINCT run_id) AS runs FROM requests WHERE source = 'many'");
  expect(row).toEqual({ runs: 30 });
});
