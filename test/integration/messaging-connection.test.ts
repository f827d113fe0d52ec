import { createServer } from "node:net";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Link, superviseConnection } from "../../src/messaging/connection.ts";
import { openChannel } from "../../src/messaging/declare.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { waitFor } from "../support/wait-for.ts";
import { connectionClose, methodFrame, passOn } from "./messaging-frame-proxy.ts";
import { jobs, ready, setUp } from "./messaging-setup.ts";

const OPEN_OK = "10.41";

function supervise(url: string, log: { msg: string; [field: string]: unknown }[] = []) {
  const logger = pino({ level: "debug" }, { write: (line: string) => void log.push(JSON.parse(line)) });
  const connection = superviseConnection({ url, name: "test", logger, clock: systemClock });
  onTestFinished(() => connection.close(1_000));
  return { connection, log };
}

describe("a broker that is not there", () => {
  test("is waited for, with a line for each try", async () => {
    const setup = await setUp();
    const proxy = await startTcpProxy(setup.url);
    onTestFinished(() => proxy.close());
    proxy.refuse();
    const { connection, log } = supervise(proxy.url);
    await waitFor(() => log.length >= 3);
    expect(log.every(({ msg, level }) => msg === "cannot connect to RabbitMQ" && level === 40)).toBe(true);
    expect(log[0]?.reason).not.toBe("");
    expect(connection.state).toBe("connecting");
    proxy.resume();
    await waitFor(() => connection.state === "connected");
  });

  test("that refuses the password is tried again, and the password is not in the log", async () => {
    const setup = await setUp();
    const url = new URL(setup.url);
    url.username = "nobody";
    url.password = "secret";
    const { connection, log } = supervise(url.href);
    await waitFor(() => log.length >= 2);
    expect(String(log[0]?.reason)).toContain("ACCESS_REFUSED");
    expect(connection.state).toBe("connecting");
    expect(JSON.stringify(log)).not.toContain("secret");
  });

  test("under a URL that is none is tried again, and the password is not in the log", async () => {
    const { connection, log } = supervise("amqp://user:secret@host:port");
    await waitFor(() => log.length >= 2);
    expect(connection.state).toBe("connecting");
    expect(JSON.stringify(log)).not.toContain("secret");
  });

  test("that accepts and says nothing does not keep close() waiting", async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const { connection } = supervise(`amqp://127.0.0.1:${port}`);
    await connection.close(1_000);
    expect(connection.state).toBe("closed");
  });
});

describe("a drop", () => {
  test("after any number of bytes from the broker is recovered from", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    // The handshake takes about 600 bytes, the topology as many again; steps of a prime number hit frames everywhere.
    for (let bytes = 1; bytes < 1_500; bytes += 61) {
      proxy.cutAfter(bytes);
      const broker = setup.start(proxy.url);
      await ready(broker);
      expect(broker.state()).toEqual({
        publishing: "connected",
        consuming: "connected",
        topology_declared: true,
        topology_problems: [],
      });
      expect(await broker.publisher.publish(jobs(setup, 1), 5_000)).toEqual(["confirmed"]);
      await broker.close(1_000);
    }
    expect(setup.log.filter(({ level }) => Number(level) >= 40).length).toBeGreaterThanOrEqual(20);
  }, 60_000);

  test("in the breath in which the broker opens the connection is noticed", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    let times = 0;
    proxy.fromBroker = ({ method, bytes }) =>
      method === OPEN_OK && ++times <= 3 ? [bytes, connectionClose(320)] : [bytes];
    const { connection, log } = supervise(proxy.url);
    await waitFor(() => connection.state === "connected");
    expect(log.filter(({ msg }) => msg === "cannot connect to RabbitMQ")).toHaveLength(3);
  });

  test("in the breath of the first channel's closing is noticed", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    let times = 0;
    proxy.fromBroker = ({ method, bytes }) =>
      method === "20.41" && ++times <= 2 ? [bytes, connectionClose(320)] : [bytes];
    const { connection } = supervise(proxy.url);
    await waitFor(() => times > 2 && connection.state === "connected");
    await (await openChannel(connection.link as Link)).close();
  });

  test("said by the broker for a reason or for none", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const { connection, log } = supervise(proxy.url);
    for (const code of [320, 200, 501, 541]) {
      await waitFor(() => connection.state === "connected");
      const { link } = connection;
      proxy.toClient(connectionClose(code));
      await waitFor(() => link?.lost.aborted);
      expect(log.at(-1)?.msg).toBe("connection to RabbitMQ lost");
    }
    await waitFor(() => connection.state === "connected");
  });

  test("of a frame that makes no sense", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const { connection } = supervise(proxy.url);
    for (const nonsense of [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), methodFrame(0, 10, 99, Buffer.alloc(0))]) {
      await waitFor(() => connection.state === "connected");
      const { link } = connection;
      proxy.toClient(nonsense);
      await waitFor(() => link?.lost.aborted);
    }
    await waitFor(() => connection.state === "connected");
  });
});

describe("sessions", () => {
  test("are run on every link, and again after they end or fail, until released", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const { connection } = supervise(proxy.url);
    const links: Link[] = [];
    const release = connection.hold("session", async (link) => {
      links.push(link);
      if (links.length === 1) throw new Error("failed");
      if (links.length === 2) return;
      await new Promise((resolve) => link.lost.addEventListener("abort", resolve));
    });
    await waitFor(() => links.length === 3);
    expect(new Set(links).size).toBe(1);
    proxy.cut();
    await waitFor(() => links.length === 4);
    expect(links[3]).not.toBe(links[2]);
    expect(links[2]?.lost.aborted).toBe(true);
    release();
    proxy.cut();
    await waitFor(() => connection.link !== null && connection.link !== links[3]);
    const later: Link[] = [];
    connection.hold("later", async (link) => {
      later.push(link);
      await new Promise((resolve) => link.lost.addEventListener("abort", resolve));
    });
    await waitFor(() => later.length === 1);
    expect(links).toHaveLength(4);
  });

  test("a channel that closes alone takes nothing else down", async () => {
    const setup = await setUp();
    const { connection } = supervise(setup.url);
    const { model, lost } = await waitFor(() => connection.link);
    const channel = await openChannel({ model, lost });
    await expect(channel.checkQueue(`${setup.prefix}.none`)).rejects.toMatchObject({ code: 404 });
    const other = await openChannel({ model, lost });
    await other.checkExchange("amq.topic");
    expect(connection.state).toBe("connected");
  });
});

describe("close()", () => {
  test("ends the connection with the broker, and twice is as good as once", async () => {
    const setup = await setUp();
    const { connection } = supervise(setup.url);
    await waitFor(() => connection.state === "connected");
    await Promise.all([connection.close(5_000), connection.close(5_000)]);
    expect(connection.state).toBe("closed");
    expect(connection.link).toBeNull();
    await connection.close(5_000);
  });

  test("is bounded on a dead link", async () => {
    const setup = await setUp();
    const proxy = await startTcpProxy(setup.url);
    onTestFinished(() => proxy.close());
    const broker = setup.start(proxy.url);
    await ready(broker);
    proxy.stall();
    const started = performance.now();
    await broker.close(300);
    expect(performance.now() - started).toBeLessThan(3_000);
    expect(broker.state()).toMatchObject({ publishing: "closed", consuming: "closed" });
  });

  test("is bounded while the broker blocks publishing", async () => {
    const setup = await setUp();
    const proxy = await setup.proxy();
    const broker = setup.start(proxy.url);
    await ready(broker);
    proxy.fromBroker = ({ method, bytes }) => (method === "10.51" ? [] : [bytes]);
    const started = performance.now();
    await broker.close(300);
    expect(performance.now() - started).toBeLessThan(3_000);
    proxy.fromBroker = passOn;
  });
});
