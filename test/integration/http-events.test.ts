import { request } from "node:http";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createApi } from "../../src/api.ts";
import type { Authenticate } from "../../src/http/access.ts";
import { createHttpServer, type HttpServer } from "../../src/http/server.ts";
import { retain } from "../../src/passes/retain.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { waitFor } from "../support/wait-for.ts";
import { type HttpService, scout, startHttpService } from "./http-service.ts";

let service: HttpService;
const instances: HttpServer[] = [];
const streams = new Set<Stream>();
beforeAll(async () => {
  service = await startHttpService({ max_connections: 20 });
  for (const instance of ["a", "b"]) instances.push(await startInstance(instance));
});
afterEach(() => {
  for (const stream of streams) stream.close();
});
afterAll(async () => {
  for (const instance of instances) await instance.close();
  await service.stop();
});

function startInstance(instance: string, authenticate?: Authenticate): Promise<HttpServer> {
  const metrics = createMetrics();
  return createHttpServer({
    api: createApi({ ...service.deps, instance, metrics }),
    readiness: async () => service.readiness,
    logger: service.deps.logger,
    metrics,
    version: "0",
    host: "127.0.0.1",
    port: 0,
    authenticate,
  });
}

interface StreamEvent {
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly data: any;
}

interface Stream {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly events: StreamEvent[];
  /** As a browser keeps it. */
  readonly lastEventId: string;
  readonly ended: boolean;
  pause(): void;
  resume(): void;
  close(): void;
  /** Waits for an event of a run that looks like this. */
  run(id: string, state?: object): Promise<unknown>;
}

async function open(
  instance: number,
  query = "",
  lastEventId: string | null = null,
  token: string | null = null,
): Promise<Stream> {
  const headers = {
    ...(lastEventId === null ? {} : { "last-event-id": lastEventId }),
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  };
  const asked = request(`${instances[instance]!.url}/v1/events${query}`, { headers }).end();
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    asked.once("response", resolve).once("error", reject);
  });
  const events: StreamEvent[] = [];
  let [id, rest, ended] = [lastEventId ?? "", "", false];
  response.setEncoding("utf8").on("data", (text: string) => {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]),
      );
      id = fields.get("id") ?? id;
      if (fields.has("data")) events.push({ name: fields.get("event")!, data: JSON.parse(fields.get("data")!) });
    }
  });
  response.on("end", () => {
    ended = true;
  });
  response.on("error", () => {});
  asked.on("error", () => {});
  const stream: Stream = {
    status: response.statusCode!,
    headers: response.headers,
    events,
    get lastEventId() {
      return id;
    },
    get ended() {
      return ended;
    },
    pause: () => response.pause(),
    resume: () => response.resume(),
    close: () => asked.destroy(),
    run: (runId, state = {}) =>
      waitFor(() => {
        const found = events.find(({ name, data }) => name === "run" && data.id === runId && matches(data, state));
        return found?.data;
      }),
  };
  streams.add(stream);
  if (stream.status === 200) await waitFor(() => events.some(({ name }) => name === "ready"));
  return stream;
}

const matches = (data: Record<string, unknown>, state: object) =>
  Object.entries(state).every(([key, value]) => data[key] === value);

const INSERT = `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, status, target, schedule_id)
  VALUES ('x', 1, 'manual', now(), $1, $2, $3) RETURNING id`;
const addRun = async (status = "pending", target: string | null = null, schedule: string | null = null) =>
  (await service.rows<{ id: string }>(INSERT, [status, target, schedule]))[0]!.id;
const setStatus = (id: string, status: string) =>
  service.rows("UPDATE runs SET status = $2 WHERE id = $1", [id, status]);

test("a run that another instance, or SQL, changes is told as it is, to those who asked for such", async () => {
  await service.ask("POST", "/v1/schedules", scout("followed & more"));
  await service.ask("POST", "/v1/schedules", scout("other"));
  const [all, some] = [await open(0), await open(0, "?schedule=followed%20%26%20more&status=pending,cancelled")];
  expect(all.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
  expect(all.headers["cache-control"]).toBe("no-store");
  expect(all.events).toEqual([{ name: "ready", data: { resumed: false } }]);

  const trigger = async (name: string) =>
    (await (await fetch(`${instances[1]!.url}/v1/schedules/${name}/trigger`, { method: "POST" })).json()) as {
      id: string;
    };
  const { id } = await trigger("followed%20%26%20more");
  const other = await trigger("other");
  const shown = (await service.ask("GET", `/v1/runs/${id}`)).body;
  const { attempts: _, targets: __, ...listed } = shown;
  expect(await all.run(id)).toEqual(listed);
  await all.run(other.id, { status: "pending" });
  await some.run(id, { status: "pending" });
  await setStatus(id, "running");
  await all.run(id, { status: "running" });
  // A run is told as it is at the look: a stream that has not looked since would be told of the end twice.
  const marker = await addRun("pending", null, shown.schedule_id);
  await some.run(marker, { status: "pending" });
  await setStatus(id, "cancelled");
  await all.run(id, { status: "cancelled" });
  await some.run(id, { status: "cancelled" });
  const told = some.events.filter(({ name }) => name === "run").map(({ data }) => [data.id, data.status]);
  expect(told).toEqual([
    [id, "pending"],
    [marker, "pending"],
    [id, "cancelled"],
  ]);
});

test("a client that comes back, at another instance, is told everything since, also what was open when it left", async () => {
  const sql = new pg.Client(service.url);
  await sql.connect();
  const first = await open(0);
  await sql.query("BEGIN");
  const late = (await sql.query(INSERT, ["pending", "late", null])).rows[0].id;
  const early = await addRun();
  await first.run(early);
  first.close();

  const missed = await addRun("running");
  await setStatus(missed, "completed");
  await sql.query("COMMIT");
  await sql.end();
  const second = await open(1, "", first.lastEventId);
  expect(second.events[0]).toEqual({ name: "ready", data: { resumed: true } });
  await second.run(missed, { status: "completed" });
  await second.run(late);
  expect(second.events.filter(({ data }) => data.id === early)).toEqual([]);
});

test("whoever comes and goes at random misses no end", async () => {
  let stream = await open(0);
  const ended = new Set<string>();
  const note = (from: Stream) => {
    for (const { data } of from.events) if (data.status === "completed") ended.add(data.id);
  };
  const life = async (index: number) => {
    const id = await addRun("dispatched", String(index));
    const client = new pg.Client(service.url);
    await client.connect();
    await client.query("BEGIN");
    await client.query("UPDATE runs SET status = 'running' WHERE id = $1", [id]);
    await client.query("SELECT pg_sleep(random() * 0.6)");
    await client.query("UPDATE runs SET status = 'completed' WHERE id = $1", [id]);
    await client.query("COMMIT");
    await client.end();
    return id;
  };
  const lives: Promise<string>[] = [];
  for (let turn = 0; turn < 6; turn += 1) {
    for (let index = 0; index < 6; index += 1) lives.push(life(index));
    const seen = stream.events.length;
    await waitFor(() => stream.events.length > seen);
    stream.close();
    note(stream);
    stream = await open(turn % 2, "", stream.lastEventId);
    expect(stream.events[0]!.data).toEqual({ resumed: true });
  }
  const ids = await Promise.all(lives);
  await waitFor(() => {
    note(stream);
    return ids.every((id) => ended.has(id));
  });
});

test.each([
  ["nonsense", "x"],
  ["too long ago", `1000000000000-1:1:`],
  ["a place that Postgres would refuse", `${Date.now()}-5:3:9,9`],
  ["a place of another database", `${Date.now()}-999999999999999:999999999999999:`],
])("%s as Last-Event-ID: the client is told to start anew", async (_, id) => {
  const stream = await open(0, "", id);
  expect(stream.events[0]!.data).toEqual({ resumed: false });
  const run = await addRun();
  await stream.run(run);
});

test("a client that does not read is held in no memory, and finds every run as it is", async () => {
  const stream = await open(0, "?text=bulky");
  stream.pause();
  const add = `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, status, target, payload)
    SELECT 'x', 1, 'manual', now(), 'pending', 'bulky', to_jsonb(repeat('x', 100000)) FROM generate_series(1, 100)`;
  const before = process.memoryUsage().external;
  await service.rows(add);
  for (const status of ["dispatched", "running", "completed"]) {
    await service.rows("UPDATE runs SET status = $1 WHERE target = 'bulky'", [status]);
    await addRun();
  }
  // Another client, served by the same instance meanwhile.
  const beside = await open(0, "?status=running");
  await beside.run(await addRun("running"));
  const held = process.memoryUsage().external - before;
  expect(held).toBeLessThan(20_000_000);

  stream.resume();
  const last = () => new Map(stream.events.map(({ data }) => [data.id, data.status]));
  await waitFor(() => [...last().values()].filter((status) => status === "completed").length === 100);
});

test("a schedule that is not there is 404, and too many clients are 503", async () => {
  expect((await open(0, "?schedule=none")).status).toBe(404);
  expect((await open(0, "?status=none")).status).toBe(422);
  const opened = await Promise.all(Array.from({ length: 70 }, () => open(1)));
  const refused = opened.filter(({ status }) => status === 503);
  expect(refused).toHaveLength(6);
  expect(refused[0]!.headers["retry-after"]).toBe("1");
  for (const stream of opened) stream.close();
  await waitFor(async () => (await open(1)).status === 200);
});

test("closing ends the streams", async () => {
  const closing = await startInstance("c");
  instances.push(closing);
  const stream = await open(2);
  await closing.close();
  await waitFor(() => stream.ended);
});

test("a stream ends with the token it was opened with, and tells nothing more", async () => {
  const tokens = new Set(["kept", "revoked"]);
  const guarded = await startInstance("d", (authorization = "") => {
    const name = authorization.replace("Bearer ", "");
    return tokens.has(name) ? { name, scope: "read" } : null;
  });
  const at = instances.push(guarded) - 1;
  const [kept, revoked] = [await open(at, "", null, "kept"), await open(at, "", null, "revoked")];
  const before = await addRun();
  await Promise.all([kept.run(before), revoked.run(before)]);
  tokens.delete("revoked");
  const after = await addRun();
  await kept.run(after);
  await waitFor(() => revoked.ended);
  expect(revoked.events.filter(({ data }) => data.id === after)).toEqual([]);
  expect((await open(at, "", revoked.lastEventId, "revoked")).status).toBe(401);
  expect(kept.ended).toBe(false);
});

test("nothing is noted unless somebody follows, and nothing is kept for long", async () => {
  const count = async () => (await service.rows<{ n: number }>("SELECT count(*)::int AS n FROM run_changes"))[0]!.n;
  await service.rows("UPDATE run_followers SET follows_until = clock_timestamp() - interval '1 second'");
  const noted = await count();
  expect(noted).toBeGreaterThan(0);
  await addRun();
  expect(await count()).toBe(noted);
  await service.rows("UPDATE run_changes SET changed_at = changed_at - interval '11 minutes'");
  await retain(service.deps, { days: 30, audit_days: 365, runs_per_schedule: 200, interval_ms: 86_400_000 });
  expect(await count()).toBe(0);
  expect(await service.rows("SELECT * FROM run_followers")).toEqual([]);
});
