import { fileURLToPath } from "node:url";
import { insertScheduleRun, type ScheduleTrigger } from "../../src/database/schedule-runs.ts";
import type { RunRow } from "../../src/database/schema.ts";
import type { Deps } from "../../src/deps.ts";
import type { Delivery } from "../../src/messaging/delivery.ts";
import { names } from "../../src/messaging/topology.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { expand } from "../../src/passes/expand.ts";
import { fire } from "../../src/passes/fire.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { plan } from "../../src/passes/plan.ts";
import { relay } from "../../src/passes/relay.ts";
import { supervise } from "../../src/passes/supervise.ts";
import type { Instant } from "../../src/schedule/instant.ts";
import { startTestConsumer, type TestConsumer, type Trigger } from "./consumer.ts";
import { addSchedule } from "./rows.ts";
import { startTestService, type TestService } from "./service.ts";
import { waitFor } from "./wait-for.ts";

/** Four actions, so that their queues are declared quickly: test.plain, test.capped, test.host and test.node. */
export const LIFE_CONTRACTS = fileURLToPath(new URL("life-contracts", import.meta.url));
export const NOON = Date.parse("2026-03-01T12:00:00Z");

export interface Told {
  readonly type: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** A service whose passes the test calls, a consumer that it plays, and a clock that it moves. */
export interface Life {
  readonly service: TestService;
  readonly deps: Deps;
  readonly consumer: TestConsumer;
  /** What was sent to consumers over the control exchange. */
  readonly control: Told[];
  /** Lifecycle events. */
  readonly events: Told[];
  /** Empties the database, sets the clock to noon and forgets what was received. */
  reset(): Promise<void>;
  now(): Instant;
  /** Sets the clock so many seconds after noon, and the service listening without a gap until then. */
  at(seconds: number): Promise<void>;
  /** Inserts a schedule (manual, `test.plain`, overlap `allow`) and plans it. */
  schedule(columns?: Record<string, unknown>): Promise<string>;
  trigger(schedule: string, trigger?: Partial<ScheduleTrigger>): Promise<RunRow>;
  fire(deps?: Deps): Promise<void>;
  /** Dispatch and expand until they have nothing to do. */
  handOver(deps?: Deps): Promise<void>;
  supervise(deps?: Deps): Promise<void>;
  /** The trigger of an attempt, once the consumer has it. */
  trigger_of(run: { id: string }, attempt?: number): Promise<Trigger>;
  /** The consumer says something; resolves when it is in the database. */
  say(run: { id: string; attempt?: number }, status: string, more?: object): Promise<void>;
  run(id: string): Promise<RunRow>;
  runs(where?: string): Promise<RunRow[]>;
  /** Sends what lies in the outbox and waits until so many have come over the exchange. */
  relayed(exchange: "control" | "events", count: number): Promise<Told[]>;
  stop(): Promise<void>;
}

export async function startLife(...actions: string[]): Promise<Life> {
  const service = await startTestService(LIFE_CONTRACTS);
  const { deps } = service;
  const queues = (actions.length > 0 ? actions : ["test.plain"]).map((action) => `${action}.v1`);
  const consumer = await startTestConsumer(service.names, ...queues);
  const [control, events] = [await listen("control"), await listen("events")];
  let ingested = 0;
  let now = NOON;
  service.broker.consume({
    queue: { name: names(service.names.prefix).queue.status },
    prefetch: 1_000,
    batch_size: 500,
    async handle(batch) {
      await ingest(deps, batch);
      ingested += batch.length;
    },
  });

  async function listen(exchange: "control" | "events"): Promise<Told[]> {
    const told: Told[] = [];
    const { queue } = await consumer.channel.assertQueue("", { exclusive: true });
    await consumer.channel.bindQueue(queue, names(service.names.prefix).exchange[exchange], "#");
    await consumer.channel.consume(
      queue,
      (message) => {
        if (message !== null) told.push(JSON.parse(message.content.toString()) as Told);
      },
      { noAck: true },
    );
    return told;
  }

  const life: Life = {
    service,
    deps,
    consumer,
    control,
    events,
    now: () => now,
    async reset() {
      await life.at(0);
      // DELETE, because TRUNCATE makes new files for every table and index.
      const tables = [
        "schedules",
        "agenda",
        "runs",
        "leases",
        "outbox",
        "run_attempts",
        "breakers",
        "requests",
        "instances",
      ];
      await service.rows(
        [
          ...tables.map((table) => `DELETE FROM ${table}`),
          "UPDATE pools SET max_in_flight = NULL, drained = false WHERE max_in_flight IS NOT NULL OR drained",
          "DELETE FROM settings WHERE key = 'drained'",
        ].join("; "),
      );
      for (const list of [consumer.triggers, control, events]) list.length = 0;
    },
    async at(seconds) {
      now = NOON + seconds * 1_000;
      service.setNow(now);
      await service.rows(
        `INSERT INTO settings (key, value) VALUES ('listening', jsonb_build_object('since', 0, 'until', $1::bigint))
         ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
        [now],
      );
    },
    async schedule(columns = {}) {
      const id = await addSchedule(service, {
        ...{ kind: "manual", action: "test.plain", payload: {}, overlap: "allow" },
        created_at: new Date(now).toISOString(),
        ...columns,
      });
      await plan(deps);
      return id;
    },
    async trigger(schedule, trigger = {}) {
      const run = await service.database.transaction((tx) =>
        insertScheduleRun(tx, schedule, { trigger_type: "manual", triggered_by: "test", ...trigger }),
      );
      if (run === null) throw new Error("no run was inserted");
      return run;
    },
    async fire(other = deps) {
      const result = await fire(other);
      await result.published;
    },
    async handOver(other = deps) {
      for (;;) {
        const expanded = await expand(other);
        const dispatched = await dispatch(other);
        await dispatched.published;
        if (!expanded.full && !dispatched.full && dispatched.dispatched === 0) return;
      }
    },
    async supervise(other = deps) {
      const report = { id: other.instance, version: "test", broker: "ready", passes: {} };
      for (;;) if (!(await supervise(other, report)).full) return;
    },
    trigger_of: ({ id }, attempt = 1) =>
      waitFor(() => consumer.triggers.find((trigger) => trigger.id === `${id}:${attempt}`), {
        describe: `the trigger ${id}:${attempt}`,
      }),
    async say({ id, attempt = 1 }, status, more) {
      const before = ingested;
      await consumer.report({ run_id: id, attempt }, status, more);
      await waitFor(() => ingested > before, { describe: `${status} to be ingested` });
    },
    async run(id) {
      const [run] = await service.rows<RunRow>("SELECT * FROM runs WHERE id = $1", [id]);
      if (run === undefined) throw new Error(`no run ${id}`);
      return run;
    },
    runs: (where = "true") => service.rows<RunRow>(`SELECT * FROM runs WHERE ${where} ORDER BY id`),
    async relayed(exchange, count) {
      while ((await relay(deps)).full);
      const told = { control, events }[exchange];
      return waitFor(() => told.length >= count && told, {
        describe: () => `${count} messages on ${exchange} (${told.length} came)`,
      });
    },
    async stop() {
      await consumer.close();
      await service.stop();
    },
  };
  return life;
}

/** A status message without the broker, for tests that force an order. Says what became of it. */
export interface TestDelivery extends Delivery {
  verdict: "ack" | "later" | `dead: ${string}` | null;
}

let sequence = 1_000_000;

export function delivery(run: { id: string; attempt?: number }, status: string, more: object = {}): TestDelivery {
  const data = { run_id: run.id, attempt: run.attempt ?? 1, sequence: ++sequence, status, ...more };
  const event = { specversion: "1.0", id: `direct-${sequence}`, type: "run.status.v1", source: "/test/direct", data };
  return rawDelivery("run.status.v1", Buffer.from(JSON.stringify(event)));
}

export function rawDelivery(routing_key: string, body: Buffer, headers: Record<string, unknown> = {}): TestDelivery {
  const becomes = (verdict: TestDelivery["verdict"]) => {
    self.verdict = verdict;
  };
  const self: TestDelivery = {
    body,
    properties: { headers } as unknown as Delivery["properties"],
    exchange: "",
    routing_key,
    redelivered: false,
    first_seen: performance.now(),
    verdict: null,
    ack: () => becomes("ack"),
    deadLetter: (reason) => becomes(`dead: ${reason}`),
    retryLater: () => becomes("later"),
  };
  return self;
}
