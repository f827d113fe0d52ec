import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestBroker, type TestBroker } from "../support/broker.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { waitFor } from "../support/wait-for.ts";
import { pocketwatch } from "../unit/cli/fake-surroundings.ts";

/* docs/coming-from.md, call by call: each is accepted by a real service, in the order of the page. */
const PAGE = fileURLToPath(new URL("../../docs/coming-from.md", import.meta.url));

let database: TestDatabase;
let broker: TestBroker;
let instance: Instance;
let consumer: TestConsumer;
let sql: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  broker = createTestBroker();
  instance = await startInstance({
    ...{ DATABASE_URL: database.url, AMQP_URL: broker.url, TOPOLOGY_PREFIX: broker.prefix },
  });
  consumer = await startTestConsumer(broker);
  sql = new pg.Client(database.url);
  await sql.connect();
});
afterAll(async () => {
  await sql.end();
  await consumer.close();
  await instance.stop();
  await broker.drop();
  await database.drop();
});

/** What stands on the page as a call: in a table between backticks, or in a block. */
function callsOf(page: string): string[] {
  const found: string[] = [];
  for (const [, language, block, code] of page.matchAll(/^ *```(\w+)\n(.*?)^ *```$|`([^`\n]+)`/gms)) {
    if (language === "sh") found.push(...block!.trim().split(/\n\s*/));
    else if (language === "sql") found.push(block!.trim());
    else if (/^(pocketwatch \S|(GET|POST|PUT|PATCH|DELETE) \/|SELECT |INSERT )/.test(code ?? "")) found.push(code!);
  }
  // Of the systems it is about, and what only ends when somebody ends it.
  return found.filter(
    (call) => !/^\w+ \/(api|JobService)|…|^pocketwatch (runs watch|import)$|^GET \/v1\/events/.test(call),
  );
}

const json = async <Body>(method: string, path: string, body?: unknown): Promise<Body> => {
  const response = await fetch(instance.url + path, {
    method,
    headers: { "content-type": "application/json" },
    ...(body === undefined && method !== "POST" ? {} : { body: JSON.stringify(body ?? {}) }),
  });
  const text = await response.text();
  expect(response.status, `${method} ${path}: ${text}`).toBeLessThan(300);
  return (text.startsWith("{") ? JSON.parse(text) : text) as Body;
};

const scout = { action: "scout.trigger", payload: { source: "stratninja", max_strategies: 1 }, pool: "parked" };
/** A run in a pool that hands out nothing. */
const pendingRun = async () => (await json<{ id: string }>("POST", "/v1/runs", scout)).id;
const PLACES: Readonly<Record<string, () => Promise<string>>> = {
  "<run>": pendingRun,
  "<pending run>": pendingRun,
  "<ended run>": async () => {
    const id = await pendingRun();
    await json("POST", `/v1/runs/${id}/cancel`);
    const run = () => json<{ completed_at: string | null }>("GET", `/v1/runs/${id}`);
    await waitFor(async () => (await run()).completed_at !== null, { describe: "the run's end" });
    return id;
  },
  "<parent run>": async () => {
    const { items } = await json<{ items: { id: string }[] }>("GET", "/v1/schedules/nightly-saver/runs");
    return items[0]!.id;
  },
  "<dead letter>": async () => {
    const options = { contentType: "application/cloudevents+json", messageId: "broken" };
    consumer.channel.publish(`${broker.prefix}.status`, "run.status.v1", Buffer.from("{}"), options);
    const letters = () => json<{ items: { id: string }[] }>("GET", "/v1/dead-letters");
    return waitFor(async () => (await letters()).items[0]?.id, { describe: "a dead letter" });
  },
};

async function fill(call: string): Promise<string> {
  for (const [place, value] of Object.entries(PLACES)) {
    if (call.includes(place)) return call.replace(place, await value());
  }
  return call;
}

async function make(call: string, files: Record<string, string>): Promise<void> {
  if (call.startsWith("pocketwatch ")) {
    const argv = [...call.matchAll(/'([^']*)'|(\S+)/g)].slice(1).map(([, quoted, bare]) => quoted ?? bare!);
    const { exit, err } = await pocketwatch({ url: instance.url, files }, ...argv);
    expect(exit, `${call}\n${err}`).toBe(0);
  } else if (call.startsWith("/") || /^[A-Z]+ \//.test(call)) {
    const [, method, path, body] = /^([A-Z]+) (\S+)(?: (.*))?$/.exec(call)!;
    await json(method!, path!, body === undefined ? undefined : JSON.parse(body));
  } else {
    await sql.query(call);
  }
}

test("every call of the page is one, and does it", { timeout: 60_000 }, async () => {
  await json("PUT", "/v1/pools/parked", { max_in_flight: 1 });
  await json("POST", "/v1/pools/parked/drain");
  await sql.query(
    "INSERT INTO breakers (key, action, threshold, cooldown_seconds) VALUES ('crawl.run:example.com', 'crawl.run', 5, 60)",
  );
  const page = await readFile(PAGE, "utf8");
  const yaml = /```yaml\n(.*?)```/s.exec(page)![1]!.replace(/^ {3}/gm, "");
  const calls = callsOf(page);
  expect(calls.length).toBeGreaterThan(85);
  // All that is wrong with the page is said at once.
  const refused: string[] = [];
  for (const call of calls) {
    await fill(call)
      .then((filled) => make(filled, { "jobs.yaml": yaml }))
      .catch((error: Error) => refused.push(`${call}\n${error.message}`));
  }
  expect(refused).toEqual([]);
});

test("moving live: what was due since the old scheduler stopped is made up for, once", async () => {
  const payload = { url: "https://example.com", source_id: "3f0c9a52-8f5e-4c57-9d0e-6f1f5a0f2a11" };
  const HOUR_MS = 3_600_000;
  const tenMinutesAgo = Date.now() - 600_000;
  const anchor = new Date(tenMinutesAgo - 5 * HOUR_MS).toISOString();
  const timing = { kind: "interval", every_seconds: 3_600, anchor };
  await json("POST", "/v1/schedules", { name: "mover", action: "crawl.run", enabled: false, payload, timing });
  await json("POST", "/v1/schedules", { name: "stayer", action: "crawl.run", enabled: false, payload, timing });
  // The old one fired for the last time 2 h 10 min ago: the occurrences since then, two, are nobody's yet.
  await sql.query("UPDATE schedules SET enabled = true, plan_from = now() - interval '2 hours' WHERE name = 'mover'");
  await sql.query("UPDATE schedules SET enabled = true WHERE name = 'stayer'");
  const runs = async (name: string) =>
    (
      await json<{ items: { status: string; scheduled_for: string; result: unknown }[] }>(
        "GET",
        `/v1/schedules/${name}/runs`,
      )
    ).items;
  await waitFor(async () => (await runs("mover")).length === 2, { describe: "the catch-up" });
  const [latest, missed] = await runs("mover");
  expect(latest).toMatchObject({ scheduled_for: new Date(tenMinutesAgo).toISOString() });
  expect(missed).toMatchObject({ status: "skipped", status_reason: "missed", result: { count: 1 } });
  const [{ next }] = (await sql.query("SELECT next_run_at AS next FROM schedules WHERE name = 'mover'")).rows;
  expect(next.getTime()).toBe(tenMinutesAgo + HOUR_MS);
  await waitFor(
    async () => (await json<{ next_run_at: unknown }>("GET", "/v1/schedules/stayer")).next_run_at !== null,
    {
      describe: "the plan",
    },
  );
  expect(await runs("stayer")).toEqual([]);
});

test("one trace from the caller over the consumer to the notifier", async () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const { channel } = consumer;
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, `${broker.prefix}.events`, "run.failed.v1");
  const next = (name: string) =>
    waitFor(async () => (await channel.get(name, { noAck: true })) || undefined, { describe: `a message in ${name}` });
  const response = await fetch(`${instance.url}/v1/runs`, {
    method: "POST",
    headers: { "content-type": "application/json", traceparent },
    body: JSON.stringify({ action: "upload.monitor", payload: {} }),
  });
  expect(await response.json()).toMatchObject({ traceparent });
  let trigger = await next(`${broker.prefix}.work.upload.monitor.v1`);
  // The page's own triggers lie there too.
  while (trigger.properties.headers?.traceparent !== traceparent) {
    trigger = await next(`${broker.prefix}.work.upload.monitor.v1`);
  }
  const event = JSON.parse(trigger.content.toString());
  expect(event.traceparent).toBe(traceparent);
  await consumer.report(event.data, "failed", { error: { message: "no", retryable: false } });
  const told = await next(queue);
  expect(told.properties.headers?.traceparent).toBe(traceparent);
  expect(JSON.parse(told.content.toString())).toMatchObject({ traceparent, data: { run_id: event.data.run_id } });
});
