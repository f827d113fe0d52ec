import { type Channel, connect as connectAmqp } from "amqplib";
import type pg from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findRabbitmqServer } from "../../dev/services/rabbitmq-server.ts";
import { withLibpqModes } from "../../src/access/tls.ts";
import { newSecret, tokenEntry } from "../../src/access/tokens.ts";
import { connect } from "../../src/database/connection.ts";
import { superviseConnection } from "../../src/messaging/connection.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { startTestConsumer, type TestConsumer } from "../support/consumer.ts";
import { onServer } from "../support/database.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { waitFor } from "../support/wait-for.ts";
import { PASSWORD, type Secured, sqlRefusal, startSecured } from "./secured.ts";

/*
 * The service with exactly the rights that docs/access.md gives, over TLS, at the most talkative log level. Needs a
 * rabbitmq-server that is installed: its listener for TLS is set up by a file.
 */
const server = findRabbitmqServer();
const TOKENS = { ops: newSecret(), ci: newSecret(), grafana: newSecret() };
const WRONG_TOKEN = newSecret();

describe.skipIf(server === null)("least rights, over TLS", { timeout: 60_000 }, () => {
  let secured: Secured;
  let instance: Instance;
  let consumer: TestConsumer;
  let cancelRequests: { run_id: string }[];
  const { ops, ci, grafana } = TOKENS;

  const verified = () => ({
    sslmode: "verify-full",
    sslrootcert: secured.file("ca"),
    sslcert: secured.file("cert"),
    sslkey: secured.file("key"),
  });
  const environment = () => ({
    DATABASE_URL: secured.databaseUrl("pocketwatch_service", verified()),
    MIGRATE_ON_START: "false",
    AMQP_URL: secured.amqpUrl("pocketwatch", { tls: true }),
    AMQP_CA_FILE: secured.file("ca"),
    AMQP_CERT_FILE: secured.file("cert"),
    AMQP_KEY_FILE: secured.file("key"),
    API_TOKENS: [
      tokenEntry("ops", "admin", ops),
      tokenEntry("ci", "trigger", ci),
      tokenEntry("grafana", "read", grafana),
    ].join(),
    LOG_LEVEL: "trace",
  });

  beforeAll(async () => {
    secured = await startSecured(server!);
    await onServer(secured.postgres.url.replace(/[^/]+$/, "postgres"), async (client) => {
      for (const [name, role] of [
        ["alice", "pocketwatch_admin"],
        ["oscar", "pocketwatch_operator"],
        ["rita", "pocketwatch_reader"],
      ]) {
        await client.query(`CREATE ROLE ${name} LOGIN PASSWORD '${PASSWORD}' IN ROLE ${role}`);
      }
    });
    instance = await startInstance({ ...environment(), HTTP_HOST: "0.0.0.0" });
    consumer = await startTestConsumer(
      { url: secured.amqpUrl("scout-agent"), prefix: "pocketwatch", drop: async () => {} },
      "scout.trigger.v1",
    );
    cancelRequests = [];
    const { queue } = await consumer.channel.assertQueue("", { exclusive: true, autoDelete: true });
    await consumer.channel.bindQueue(queue, "pocketwatch.control", "run.cancel-requested.v1");
    await consumer.channel.consume(
      queue,
      (message) => message && cancelRequests.push(JSON.parse(message.content.toString()).data),
    );
  }, 120_000);
  afterAll(async () => {
    await consumer?.close();
    await instance?.stop();
    await secured?.remove();
  });

  async function ask(token: string | null, method: string, path: string, body?: unknown) {
    const response = await fetch(`${instance.url.replace("0.0.0.0", "127.0.0.1")}${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = /json/.test(String(response.headers.get("content-type")));
    // biome-ignore lint/suspicious/noExplicitAny: the test looks into it as it pleases
    return { status: response.status, body: (isJson ? JSON.parse(text) : text) as any };
  }
  const as = <T>(role: string, work: (client: pg.Client) => Promise<T>) => onServer(secured.databaseUrl(role), work);
  const runIs = (id: string, status: string) =>
    waitFor(async () => (await ask(grafana, "GET", `/v1/runs/${id}`)).body.status === status, {
      describe: `run ${id} to be ${status}`,
    });

  test("fires what an administrator wrote with SQL, and hears of its end", async () => {
    await as("alice", (client) =>
      client.query(`INSERT INTO schedules (name, kind, interval_seconds, interval_anchor, action, payload, overlap)
        VALUES ('by sql', 'interval', 1, now(), 'scout.trigger', '{"source": "stratninja", "max_strategies": 1}', 'allow')`),
    );
    const [trigger] = await consumer.received(1);
    await as("alice", (client) => client.query('UPDATE schedules SET enabled = false, labels = \'{"a": "b"}\''));
    for (const { data } of consumer.triggers) {
      await consumer.report(data, "started");
      await consumer.report(data, "completed", { metrics: { validated: 1 } });
    }
    await runIs(trigger!.data.run_id, "completed");
  });

  test("triggers, cancels, retries and changes over HTTP, each by who may", async () => {
    const before = consumer.triggers.length;
    const { body: run } = await ask(ci, "POST", "/v1/schedules/by%20sql/trigger");
    expect(run).toMatchObject({ triggered_by: "ci" });
    const trigger = (await consumer.received(before + 1)).at(-1)!;
    await consumer.report(trigger.data, "started");
    await runIs(run.id, "running");
    expect((await ask(grafana, "POST", `/v1/runs/${run.id}/cancel`)).status).toBe(403);
    expect((await ask(ci, "POST", `/v1/runs/${run.id}/cancel`)).status).toBe(200);
    await waitFor(() => cancelRequests.some(({ run_id }) => run_id === run.id), { describe: "the cancel request" });
    await consumer.report(trigger.data, "cancelled");
    await runIs(run.id, "cancelled");
    expect((await ask(ci, "POST", `/v1/runs/${run.id}/retry`, { force: true })).status).toBe(200);
    const again = (await consumer.received(before + 2)).at(-1)!;
    await consumer.report(again.data, "completed");
    await runIs(run.id, "completed");
    expect((await ask(WRONG_TOKEN, "GET", "/v1/schedules")).status).toBe(401);
  });

  test("does everything else that the API offers", async () => {
    const schedule = {
      action: "scout.trigger",
      payload: { source: "stratninja", max_strategies: 1 },
      timing: { kind: "interval", every_seconds: 3600 },
      triggers: { webhook: "git/*", channel: null },
    };
    const steps: [method: string, path: string, body?: unknown][] = [
      ["PUT", "/v1/schedules/by%20http", schedule],
      ["PATCH", "/v1/schedules/by%20http", { labels: { team: "ops" } }],
      ["POST", "/v1/schedules/by%20http/pause", { note: "a while" }],
      ["POST", "/v1/schedules/by%20http/resume", { catch_up: true }],
      ["POST", "/v1/schedules/by%20http/skip-next"],
      ["POST", "/v1/schedules/bulk/pause", { labels: { team: "ops" } }],
      ["POST", "/v1/schedules/bulk/resume", { labels: { team: "ops" } }],
      ["POST", "/v1/hooks/git/push"],
      ["POST", "/v1/schedules/by%20http/cancel"],
      ["DELETE", "/v1/schedules/by%20http"],
      ["PUT", "/v1/pools/scouts", { max_in_flight: 5 }],
      ["POST", "/v1/pools/scouts/drain"],
      ["POST", "/v1/pools/scouts/resume"],
      ["POST", "/v1/scheduler/drain"],
      ["POST", "/v1/scheduler/resume"],
      ["POST", "/v1/scheduler/reload"],
      ["POST", "/v1/history/clean-up", { days: 1 }],
      ["GET", "/v1/dead-letters"],
      ["GET", "/v1/actions"],
      ["GET", "/v1/breakers"],
      ["GET", "/v1/scheduler"],
      ["GET", "/v1/stats"],
      ["GET", "/metrics"],
    ];
    for (const [method, path, body] of steps) {
      const answer = await ask(ops, method, path, body);
      expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
    }
    const scheduler = (await ask(grafana, "GET", "/v1/scheduler")).body;
    expect(scheduler.broker).toMatchObject({ topology_declared: true, topology_problems: [] });
    // A dead letter goes back to its one queue.
    await consumer.channel.publish("pocketwatch.status", "run.status.v1", Buffer.from("{}"));
    const letters = await waitFor(async () => {
      const { items } = (await ask(ops, "GET", "/v1/dead-letters")).body;
      return items.length > 0 && items;
    });
    expect((await ask(ops, "POST", `/v1/dead-letters/${letters[0].id}/requeue`)).status).toBe(200);
  });

  test("operators and administrators do at psql what the document says, under their names", async () => {
    const before = consumer.triggers.length;
    await as("oscar", async (client) => {
      await client.query("SELECT pocketwatch_pause('by sql', NULL, 'by oscar'), pocketwatch_trigger('by sql')");
      await client.query("SELECT pocketwatch_resume('by sql')");
    });
    const { data } = (await consumer.received(before + 1)).at(-1)!;
    expect((await ask(grafana, "GET", `/v1/runs/${data.run_id}`)).body.triggered_by).toBe("oscar");
    await as("alice", async (client) => {
      await client.query("UPDATE runs SET cancel_requested_at = now() WHERE id = $1", [data.run_id]);
      await client.query("SELECT pocketwatch_cancel($1)", [data.run_id]);
      await client.query("INSERT INTO pools (name, max_in_flight) VALUES ('gpu', 1)");
      await client.query("DELETE FROM pools WHERE name = 'gpu'");
      await client.query(
        "INSERT INTO settings (key, value) VALUES ('drained', 'false') ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      );
      await client.query("UPDATE breakers SET state = 'closed'");
      await client.query("INSERT INTO requests (source, key, schedule_name) VALUES ('etl', '1', 'by sql')");
    });
    await consumer.report(data, "cancelled");
    const who = await as("rita", async (client) => (await client.query("SELECT DISTINCT who FROM audit")).rows);
    expect(who.map((row) => row.who)).toEqual(
      expect.arrayContaining(["role:alice", "role:oscar", "ops (role:pocketwatch_service)"]),
    );
  });

  test("nobody may more in Postgres", async () => {
    const forbidden: Record<string, string[]> = {
      pocketwatch_service: [
        "DROP TABLE runs",
        "TRUNCATE runs",
        "ALTER TABLE schedules DISABLE TRIGGER ALL",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE mine (id int)",
        "INSERT INTO audit (who, operation, table_name, subject, changes) VALUES ('x', 'update', 'x', 'x', '{}')",
        "UPDATE audit SET who = 'somebody else'",
        "CREATE OR REPLACE FUNCTION pocketwatch_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'",
        "SET ROLE pocketwatch_owner",
      ],
      alice: [
        "DROP TABLE schedules",
        "TRUNCATE schedules",
        "DELETE FROM audit",
        "UPDATE runs SET status = 'completed'",
      ],
      oscar: ["UPDATE schedules SET enabled = true", "DELETE FROM schedules", "INSERT INTO pools (name) VALUES ('x')"],
      rita: ["SELECT pocketwatch_trigger('by sql')", "UPDATE schedules SET enabled = true", "DELETE FROM runs"],
    };
    for (const [role, statements] of Object.entries(forbidden)) {
      for (const statement of statements) {
        // insufficient_privilege
        expect(await sqlRefusal(secured.databaseUrl(role), statement), `${role}: ${statement}`).toBe("42501");
      }
    }
    expect(
      await sqlRefusal(secured.databaseUrl("rita"), "SELECT * FROM schedule_overview, run_history, due_now"),
    ).toBeNull();
  });

  test("nor in RabbitMQ", async () => {
    const body = Buffer.from("{}");
    const forbidden: Record<string, ((channel: Channel) => Promise<unknown>)[]> = {
      pocketwatch: [
        (channel) => channel.assertExchange("theirs", "topic"),
        (channel) => channel.assertQueue("theirs"),
        async (channel) => channel.publish("amq.topic", "x", body),
        (channel) => channel.bindQueue("pocketwatch.status", "amq.topic", "#"),
      ],
      "scout-agent": [
        async (channel) => channel.publish("pocketwatch.triggers", "scout.trigger.v1", body),
        async (channel) => channel.publish("pocketwatch.commands", "run.trigger.v1", body),
        async (channel) => channel.publish("", "pocketwatch.status", body),
        (channel) => channel.consume("pocketwatch.status", () => {}),
        (channel) => channel.consume("pocketwatch.work.crawl.run.v1", () => {}),
        (channel) => channel.purgeQueue("pocketwatch.work.crawl.run.v1"),
        (channel) => channel.deleteQueue("pocketwatch.work.scout.trigger.v1"),
        (channel) => channel.assertQueue("pocketwatch.work.theirs"),
      ],
    };
    for (const [user, attempts] of Object.entries(forbidden)) {
      const connection = await connectAmqp(secured.amqpUrl(user));
      for (const attempt of attempts) {
        const channel = await connection.createChannel();
        const refused = new Promise<number>((resolve) =>
          channel.on("error", (error) => resolve((error as Error & { code: number }).code)),
        );
        await attempt(channel).catch(() => {});
        expect(await refused, `${user}: ${attempt}`).toBe(403);
      }
      await connection.close();
      // The broker answers connection.open with a close.
      await expect(connectAmqp(secured.amqpUrl(user, { vhost: "%2f" })), user).rejects.toThrow("ConnectionClose");
    }
  });

  test("every connection of the service is encrypted, and shows its certificate", async () => {
    const sessions = await onServer(secured.postgres.url, async (client) => {
      const { rows } = await client.query(
        "SELECT ssl, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'pocketwatch_service'",
      );
      return rows;
    });
    expect(sessions.length).toBeGreaterThan(1);
    expect(new Set(sessions.map(({ ssl, client_dn }) => `${ssl} ${client_dn}`))).toEqual(
      new Set(["true /CN=pocketwatch"]),
    );
    const connections = await secured.broker.ctl(["list_connections", "user", "ssl", "peer_cert_subject", "--quiet"]);
    const ours = connections.split("\n").filter((line) => line.startsWith("pocketwatch\t"));
    expect(ours).toEqual(Array(2).fill("pocketwatch\ttrue\tCN=pocketwatch"));
  });

  test("sslmode means what it means to psql", async () => {
    const tries: [mode: Record<string, string>, host: string, outcome: string][] = [
      [{ sslmode: "disable" }, "127.0.0.1", "false"],
      [{ sslmode: "require" }, "localhost", "true"],
      [{ sslmode: "verify-ca", sslrootcert: secured.file("ca") }, "localhost", "true"],
      [{ sslmode: "verify-ca", sslrootcert: secured.file("stranger") }, "127.0.0.1", "SELF_SIGNED_CERT_IN_CHAIN"],
      [{ sslmode: "verify-full", sslrootcert: secured.file("ca") }, "127.0.0.1", "true"],
      [{ sslmode: "verify-full", sslrootcert: secured.file("ca") }, "localhost", "ERR_TLS_CERT_ALTNAME_INVALID"],
      [{ sslmode: "verify-full" }, "127.0.0.1", "SELF_SIGNED_CERT_IN_CHAIN"],
    ];
    for (const [parameters, host, outcome] of tries) {
      const url = secured.databaseUrl("rita", parameters).replace("127.0.0.1", host);
      const database = connect({ url: withLibpqModes(url), logger: pino({ level: "silent" }) });
      const found = await database
        .transaction((tx) => tx.query<{ ssl: boolean }>("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
        .then(
          ([row]) => String(row!.ssl),
          (error) => error.cause?.code,
        );
      await database.close();
      expect(found, `${JSON.stringify(parameters)} at ${host}`).toBe(outcome);
    }
  });

  test("a broker that somebody else vouches for is refused, and the log says so", async () => {
    const log: { msg: string; reason: string }[] = [];
    const connection = superviseConnection({
      url: secured.amqpUrl("pocketwatch", { tls: true }),
      tls: { ca: secured.file("stranger"), client: { cert: secured.file("cert"), key: secured.file("key") } },
      name: "stranger",
      logger: pino({}, { write: (line: string) => log.push(JSON.parse(line)) }),
      clock: systemClock,
    });
    await waitFor(() => log.length > 0);
    await connection.close(1_000);
    expect(log[0]).toMatchObject({
      msg: "cannot connect to RabbitMQ",
      reason: "self-signed certificate in certificate chain",
    });
  });

  test("passwords that are wrong are refused, and stay out of the log", async () => {
    const other = await startInstance(
      {
        ...environment(),
        DATABASE_URL: secured.databaseUrl("nobody_knows", verified()),
        AMQP_URL: secured.amqpUrl("nobody-knows", { tls: true }),
      },
      { until: "started" },
    );
    const said = (message: string) =>
      waitFor(() => other.log().find((entry) => entry.msg === message), { timeoutMs: 50_000 });
    expect(await said("cannot connect to RabbitMQ")).toMatchObject({ reason: expect.stringContaining("403") });
    expect(await said("the database is not ready")).toMatchObject({ err: { code: "28P01" } });
    expect(await other.stop()).toBe(0);
    expectNoSecrets(other);
  });

  // Last, when the log is long.
  test("all the while the service has met no refusal, and said no secret", async () => {
    const complaints = new Set(instance.log().flatMap(({ level, msg }) => (Number(level) >= 40 ? [msg] : [])));
    // The one message that was no status update, and that again, having been handed back.
    expect(complaints).toEqual(new Set(["a status message breaks its contract", "message goes to the dead letters"]));
    expect(instance.log().filter(({ level }) => level === 20).length).toBeGreaterThan(20);
    expectNoSecrets(instance);
  });
});

function expectNoSecrets(instance: Instance): void {
  const log = JSON.stringify(instance.log());
  const passwords = [PASSWORD, JSON.stringify(PASSWORD).slice(1, -1), encodeURIComponent(PASSWORD), "pa55w0rd"];
  for (const secret of [...passwords, ...Object.values(TOKENS), WRONG_TOKEN]) expect(log).not.toContain(secret);
}
