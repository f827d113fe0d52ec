import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { startTestConsumer, type TestConsumer, type Trigger } from "../support/consumer.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
let broker: TestBroker;
let admin: pg.Client;
let consumer: TestConsumer;
let instances: Instance[];

beforeAll(async () => {
  database = await createTestDatabase();
  broker = createTestBroker();
  const environment = { DATABASE_URL: database.url, AMQP_URL: broker.url, TOPOLOGY_PREFIX: broker.prefix };
  instances = await Promise.all([startInstance(environment), startInstance(environment)]);
  admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  consumer = await startTestConsumer(broker, "scout.trigger.v1");
});
afterAll(async () => {
  const codes = await Promise.all(instances.map((instance) => instance.stop()));
  await consumer.close();
  await admin.end();
  await broker.drop();
  await database.drop();
  expect(codes).toEqual([0, 0]);
});

const VALUES = `'scout.trigger', '{"source": "stratninja", "max_strategies": 5}'`;

test("a schedule inserted with plain SQL fires at its time, once, long before the poll; an invalid one gets its problem", async () => {
  await admin.query(`INSERT INTO schedules (name, kind, cron_expression, action, payload) VALUES
    ('every second', 'cron', '* * * * * *', ${VALUES}), ('broken', 'cron', '61 * * * *', ${VALUES})`);
  await admin.query(`UPDATE schedules SET overlap = 'allow'`);
  const arrivals: number[] = [];
  await waitFor(
    async () => {
      while (arrivals.length < consumer.triggers.length) arrivals.push(Date.now());
      return arrivals.length >= 6;
    },
    { timeoutMs: 15_000, intervalMs: 1, describe: "six triggers" },
  );
  await admin.query("UPDATE schedules SET enabled = false");
  const triggers: Trigger[] = consumer.triggers.slice(0, 6);
  const lateness = triggers.map((trigger, index) => arrivals[index]! - Date.parse(trigger.data.scheduled_for));
  // How late exactly is for bench/lateness.ts; here it only must not have waited for the 30 s poll.
  expect(Math.max(...lateness)).toBeLessThan(10_000);
  expect(new Set(consumer.triggers.map((trigger) => trigger.id)).size).toBe(consumer.triggers.length);

  const { rows } = await admin.query("SELECT problem FROM schedules WHERE name = 'broken'");
  expect(rows[0].problem).toMatch(/^cron_expression: /);
  const runs = await admin.query(
    "SELECT count(*)::int AS runs, count(DISTINCT scheduled_for)::int AS instants FROM runs",
  );
  expect(runs.rows[0].runs).toBe(runs.rows[0].instants);
});

test("what a consumer reports is in the database, whichever instance hears it", async () => {
  const [trigger] = consumer.triggers;
  await consumer.report(trigger!.data, "started");
  await consumer.report(trigger!.data, "progress", { progress: 40, metrics: { total_fetched: 3 } });
  await consumer.report(trigger!.data, "completed", { metrics: { validated: 2 }, result: { strategies: ["a", "b"] } });
  // The other instance may have the progress in hand when this one writes the end; its metrics are added then.
  const run = await waitFor(async () => {
    const { rows } = await admin.query(
      "SELECT * FROM runs WHERE id = $1 AND status = 'completed' AND metrics ? 'total_fetched'",
      [trigger!.data.run_id],
    );
    return rows[0];
  });
  expect(run).toMatchObject({
    metrics: { total_fetched: 3, validated: 2 },
    result: { strategies: ["a", "b"] },
    worker: "/test/consumer",
    progress: 100,
  });
});
