import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { NO_PYTHON, python } from "../support/python.ts";
import { waitFor } from "../support/wait-for.ts";

const AGENT = fileURLToPath(new URL("../../consumers/scout-agent/scout_agent.py", import.meta.url));

if (python === null) console.warn(`scout agent tests are skipped: ${NO_PYTHON}`);

describe.skipIf(python === null)("the Python agent", () => {
  let database: TestDatabase;
  let broker: TestBroker;
  let admin: pg.Client;
  let instance: Instance;
  let agent: ChildProcess;

  beforeAll(async () => {
    database = await createTestDatabase();
    broker = createTestBroker();
    const environment = { AMQP_URL: broker.url, TOPOLOGY_PREFIX: broker.prefix };
    instance = await startInstance({ ...environment, DATABASE_URL: database.url });
    admin = new pg.Client({ connectionString: database.url });
    await admin.connect();
    agent = spawn(python!, [AGENT], {
      env: { PATH: process.env.PATH, ...environment, SCOUT_DELAY_SECONDS: "0.01" },
      stdio: "ignore",
    });
  });
  afterAll(async () => {
    agent.kill("SIGTERM");
    const [code] = await once(agent, "exit");
    await instance.stop();
    await admin.end();
    await broker.drop();
    await database.drop();
    expect(code).toBe(0);
  });

  const endOf = (name: string) =>
    waitFor(
      async () => {
        // While one is at work, the next occurrences are skipped, which ends them before it.
        const { rows } = await admin.query(
          "SELECT * FROM runs WHERE schedule_name = $1 AND completed_at IS NOT NULL AND started_at IS NOT NULL",
          [name],
        );
        return rows[0];
      },
      { timeoutMs: 20_000, describe: `a run of ${name} to end` },
    );

  test("does real work on a due schedule and reports it", async () => {
    await admin.query(`INSERT INTO schedules (name, kind, interval_seconds, action, payload)
      VALUES ('scout', 'interval', 1, 'scout.trigger', '{"source": "stratninja", "max_strategies": 20}')`);
    const run = await endOf("scout");
    await admin.query("UPDATE schedules SET enabled = false");
    expect(run).toMatchObject({ status: "completed", trigger_type: "scheduled", attempt: 1, progress: 100 });
    expect(run.metrics).toEqual({ total_fetched: 14, validated: 8, rejected: 5, duplicates: 1 });
    expect(run.result.strategies).toContainEqual(
      expect.objectContaining({ file: expect.stringMatching(/\.py$/), class: expect.any(String) }),
    );
    expect(run.started_at.getTime()).toBeGreaterThanOrEqual(run.scheduled_for.getTime());
  });

  test("fails with a clear error that is not worth a retry", async () => {
    await admin.query(`INSERT INTO schedules (name, kind, interval_seconds, action, payload)
      VALUES ('nowhere', 'interval', 1, 'scout.trigger', '{"source": "directory:/does/not/exist", "max_strategies": 1}')`);
    const run = await endOf("nowhere");
    expect(run).toMatchObject({
      status: "failed",
      status_reason: "error",
      attempt: 1,
      error_code: "missing_directory",
    });
    expect(run.error_message).toContain("/does/not/exist");
  });
});
