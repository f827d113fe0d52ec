import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { CONTRACTS } from "../support/contracts.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
let broker: TestBroker;
let contracts: string;
let instances: Instance[];
let consumer: TestConsumer;
const events: { type: string; data: Record<string, unknown> }[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  contracts = await mkdtemp(join(tmpdir(), "pocketwatch-contracts-"));
  await cp(CONTRACTS, contracts, { recursive: true });
  broker = createTestBroker(contracts);
  const environment = {
    DATABASE_URL: database.url,
    AMQP_URL: broker.url,
    TOPOLOGY_PREFIX: broker.prefix,
    CONTRACTS_DIR: contracts,
  };
  instances = await Promise.all([
    startInstance({ ...environment, INSTANCE: "one" }),
    startInstance({ ...environment, INSTANCE: "two" }),
  ]);
  consumer = await startTestConsumer(broker, "scout.trigger.v1");
  const { queue } = await consumer.channel.assertQueue("", { exclusive: true });
  await consumer.channel.bindQueue(queue, `${broker.prefix}.events`, "#");
  await consumer.channel.consume(queue, (message) => events.push(JSON.parse(message!.content.toString())), {
    noAck: true,
  });
});
afterAll(async () => {
  await Promise.all(instances.map((instance) => instance.stop()));
  await consumer.close();
  await broker.drop();
  await database.drop();
  await rm(contracts, { recursive: true });
});

async function call(method: string, path: string, body?: unknown) {
  const response = await fetch(`${instances[0]!.url}${path}`, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function command(type: string, id: string, data: unknown, body?: string) {
  const event = { specversion: "1.0", id, type, source: "/test", data };
  const content = Buffer.from(body ?? JSON.stringify(event));
  consumer.channel.publish(`${broker.prefix}.commands`, type, content, { messageId: id, persistent: true });
  await (consumer.channel as unknown as { waitForConfirms(): Promise<void> }).waitForConfirms();
}

const REPORT = {
  name: "report.send",
  action: "report.send",
  payload: { to: "x" },
  timing: { kind: "cron", expression: "0 0 * * *" },
};

test("a contract dropped into CONTRACTS_DIR and a reload make a new action usable on every instance", async () => {
  expect(await call("POST", "/v1/schedules", REPORT)).toMatchObject({
    status: 422,
    body: { errors: [{ field: "action" }] },
  });
  const folder = join(contracts, "actions", "report.send");
  await mkdir(folder);
  await writeFile(join(folder, "action.json"), '{ "name": "report.send", "versions": [1], "pool": "mailers" }');
  await writeFile(
    join(folder, "v1.schema.json"),
    '{ "type": "object", "properties": { "to": { "type": "string" } }, "required": ["to"], "additionalProperties": false }',
  );
  await command("schedules.reload.v1", "reload-1", {});
  const reloaded = () => events.filter((event) => event.type === "schedules.reloaded.v1");
  await waitFor(() => reloaded().length >= 2, { describe: "both instances to answer" });
  expect(new Set(reloaded().map((event) => event.data.instance))).toEqual(new Set(["one", "two"]));
  expect(reloaded()[0]?.data).toMatchObject({ planned: 0, problems: [] });

  expect((await call("POST", "/v1/schedules", REPORT)).status).toBe(201);
  const { queue } = await consumer.channel.checkQueue(`${broker.prefix}.work.report.send.v1`);
  expect(queue).toContain("report.send");
  await consumer.channel.deleteQueue(queue);
});

test("a reload over HTTP reaches every instance, and a broken contract keeps the action it had", async () => {
  events.length = 0;
  await writeFile(join(contracts, "actions", "report.send", "v1.schema.json"), "{ nonsense");
  const answer = await call("POST", "/v1/scheduler/reload", {});
  expect(answer).toMatchObject({
    status: 200,
    body: { instance: "one", planned: 1, problems: [{ action: "report.send" }] },
  });
  const reloaded = () => events.filter((event) => event.type === "schedules.reloaded.v1");
  await waitFor(() => reloaded().length >= 2, { describe: "both instances to answer" });
  expect(new Set(reloaded().map((event) => event.data.instance))).toEqual(new Set(["one", "two"]));
  const schedule = await waitFor(async () => {
    const { body } = await call("GET", "/v1/schedules/report.send");
    return body.next_run_at !== null && body;
  });
  expect(schedule).toMatchObject({ state: "active", problem: null });
});

test("a trigger command makes one run, however often it is delivered", async () => {
  const data = { action: "scout.trigger", payload: { source: "stratninja", max_strategies: 3 }, priority: "high" };
  for (let delivery = 0; delivery < 3; delivery += 1) await command("run.trigger.v1", "trigger-1", data);
  await command("run.trigger.v1", "trigger-2", data);
  const triggers = await consumer.received(2);
  const { body } = await call("GET", "/v1/runs?action=scout.trigger");
  expect(body.items).toHaveLength(2);
  expect(body.items).toMatchObject([
    { trigger_type: "manual", triggered_by: "/test", priority: "high" },
    { trigger_type: "manual", triggered_by: "/test" },
  ]);
  expect(new Set(triggers.map((trigger) => trigger.data.run_id)).size).toBe(2);

  await command("run.cancel.v1", "cancel-1", { run_id: triggers[0]!.data.run_id, reason: "not needed" });
  await consumer.report(triggers[0]!.data, "cancelled");
  await waitFor(async () => (await call("GET", `/v1/runs/${triggers[0]!.data.run_id}`)).body.status === "cancelled");
});

test("what cannot be read or carried out is a dead letter with the reason; nothing stops for it", async () => {
  await command("run.trigger.v1", "bad-1", null, "{ no json");
  await command("run.trigger.v1", "bad-2", { action: "scout.trigger", payload: {}, colour: "red" });
  await command("run.trigger.v1", "bad-3", { schedule: "nobody" });
  await command("run.trigger.v1", "good", {
    action: "scout.trigger",
    payload: { source: "stratninja", max_strategies: 1 },
  });
  await consumer.received(3);
  const letters = await waitFor(async () => {
    const { body } = await call("GET", `/v1/dead-letters?queue=${broker.prefix}.commands`);
    return (body.items as { reason: string }[]).length === 3 && (body.items as { reason: string }[]);
  });
  // In any order: two instances share the queue.
  expect(letters.map((letter) => letter.reason).sort()).toEqual([
    expect.stringMatching(/^body: /),
    "data.colour: unknown field",
    'there is no schedule "nobody"',
  ]);
  expect((await call("GET", "/readyz")).status).toBe(200);
});
