import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect } from "amqplib";
import pg from "pg";
import { expect, test } from "vitest";
import { createTestBroker } from "../support/broker.ts";
import { createTestDatabase } from "../support/database.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

test("a test database is migrated, one's own, and gone after drop", async () => {
  const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  const client = new pg.Client(one.url);
  await client.connect();
  await client.query("CREATE TABLE only_here ()");
  expect((await client.query("SELECT count(*)::int AS n FROM schedules")).rows).toEqual([{ n: 0 }]);
  const second = new pg.Client(other.url);
  await second.connect();
  await expect(second.query("SELECT FROM only_here")).rejects.toMatchObject({ code: "42P01" });
  await second.end();
  let ended = false;
  client.on("error", () => {
    ended = true;
  });
  await one.drop();
  await waitFor(() => ended);
  await other.drop();
  await expect(new pg.Client(one.url).connect()).rejects.toMatchObject({ code: "3D000" });
});

test("a test broker has a prefix of its own and deletes what stands under it", async () => {
  const broker = createTestBroker();
  expect(createTestBroker().prefix).not.toBe(broker.prefix);
  const connection = await connect(broker.url);
  const channel = await connection.createChannel();
  await channel.assertQueue(`${broker.prefix}.status`, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await broker.drop();
  channel.on("error", () => {});
  await expect(channel.checkQueue(`${broker.prefix}.status`)).rejects.toMatchObject({ code: 404 });
  await connection.close();
});

test("the proxy stalls, resumes, cuts and refuses", async () => {
  const database = await createTestDatabase();
  const proxy = await startTcpProxy(database.url);
  const client = new pg.Client(proxy.url);
  await client.connect();
  proxy.stall();
  let answered = false;
  const answer = client.query("SELECT 1 AS one").then((result) => {
    answered = true;
    return result.rows;
  });
  await expect(waitFor(() => answered, { timeoutMs: 200, describe: "an answer" })).rejects.toThrow("an answer");
  proxy.resume();
  expect(await answer).toEqual([{ one: 1 }]);
  let lost = false;
  client.on("error", () => {
    lost = true;
  });
  proxy.cut();
  await waitFor(() => lost);
  proxy.refuse();
  const socket = connectTcp(proxy.port, "127.0.0.1");
  const [error] = await once(socket, "error").catch((cause) => [cause]);
  expect(error).toMatchObject({ code: "ECONNRESET" });
  await proxy.close();
  await database.drop();
});
