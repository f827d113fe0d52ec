import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { NO_PYTHON, python } from "../support/python.ts";
import { waitFor } from "../support/wait-for.ts";

const README = fileURLToPath(new URL("../../contracts/README.md", import.meta.url));

if (python === null) console.warn(`the consumer of contracts/README.md is not tried: ${NO_PYTHON}`);

describe.skipIf(python === null)("the consumer printed in contracts/README.md", () => {
  let database: TestDatabase;
  let broker: TestBroker;
  let instance: Instance;
  let consumer: ChildProcess;
  let directory: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    broker = createTestBroker();
    directory = await mkdtemp(join(tmpdir(), "pocketwatch-readme-"));
    const environment = { AMQP_URL: broker.url, TOPOLOGY_PREFIX: broker.prefix };
    instance = await startInstance({ ...environment, DATABASE_URL: database.url });
    const [, code] = /```python\n([\s\S]*?)```/.exec(await readFile(README, "utf8"))!;
    await writeFile(join(directory, "consumer.py"), code!);
    await writeFile(join(directory, "targets.txt"), "a.example\nb.example\n\n");
    consumer = spawn(python!, ["consumer.py"], { cwd: directory, env: { PATH: process.env.PATH, ...environment } });
  });
  afterAll(async () => {
    consumer.kill("SIGKILL");
    await once(consumer, "exit");
    await instance.stop();
    await broker.drop();
    await database.drop();
    await rm(directory, { recursive: true });
  });

  async function runNow(targets_file: string) {
    const response = await fetch(`${instance.url}/v1/runs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ action: "scan.run", payload: { targets_file }, retry: { max_attempts: 1 } }),
    });
    const created = (await response.json()) as { id: string };
    expect(response.status, JSON.stringify(created)).toBe(201);
    return waitFor(
      async () => {
        const run = (await (await fetch(`${instance.url}/v1/runs/${created.id}`)).json()) as Record<string, unknown>;
        return run.completed_at !== null && run;
      },
      { timeoutMs: 15_000, describe: "the run to end" },
    );
  }

  test("handles a manual trigger", async () => {
    expect(await runNow("targets.txt")).toMatchObject({
      status: "completed",
      trigger_type: "manual",
      metrics: { targets: 2 },
      worker: "/consumers/mine",
    });
  });

  test("reports what goes wrong", async () => {
    expect(await runNow("nowhere.txt")).toMatchObject({
      status: "failed",
      status_reason: "error",
      error_code: "FileNotFoundError",
    });
  });
});
