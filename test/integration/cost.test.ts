import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type Database } from "../../src/database/connection.ts";
import type { Deps } from "../../src/deps.ts";
import { type Broker, createBroker } from "../../src/messaging/broker.ts";
import { buildTopology, names } from "../../src/messaging/topology.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { expand } from "../../src/passes/expand.ts";
import { fire } from "../../src/passes/fire.ts";
import { fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { Outlook } from "../../src/passes/outlook.ts";
import { plan } from "../../src/passes/plan.ts";
import { relay } from "../../src/passes/relay.ts";
import { supervise } from "../../src/passes/supervise.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { type AmqpProxy, startAmqpProxy } from "../support/amqp-proxy.ts";
import { delivery, LIFE_CONTRACTS } from "../support/life.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { type StatementCounter, startStatementCounter } from "../support/statement-counter.ts";
import { waitFor } from "../support/wait-for.ts";

/*
 * What a thousand runs cost in statements, round trips, written rows and AMQP frames, exactly: times are for the benchmarks,
 * these do not depend on the machine. A figure that falls is an improvement to be written down here; one that rises needs a
 * reason.
 */

const RUNS = 1_000;
const silent = pino({ level: "silent" });

let service: TestService;
let postgres: StatementCounter;
let rabbitmq: AmqpProxy;
let database: Database;
let broker: Broker;
let deps: Deps;
const frames = { publish: 0, header: 0, body: 0, other: 0 };

beforeAll(async () => {
  service = await startTestService(LIFE_CONTRACTS);
  postgres = await startStatementCounter(service.url);
  rabbitmq = await startAmqpProxy(service.names.url);
  // One connection, so that its counts of written rows are complete once it has told them.
  database = connect({ url: postgres.url, logger: silent, max_connections: 1 });
  broker = createBroker({
    url: rabbitmq.url,
    prefix: service.names.prefix,
    instance: "counted",
    logger: silent,
    clock: systemClock,
    topology: () => buildTopology(service.names.prefix, service.deps.actions().list()),
  });
  await waitFor(() => broker.publisher.ready, { timeoutMs: 20_000, describe: "the broker to be ready" });
  // Opens the lane of the exchange, which is done once.
  const lane = {
    exchange: names(service.names.prefix).exchange.triggers,
    routing_key: "nobody",
    body: "",
    message_id: "first",
  };
  await broker.publisher.publish([lane], 5_000);
  deps = { ...service.deps, database, publisher: broker.publisher, instance: "counted" };
  rabbitmq.fromClient = ({ method, bytes }) => {
    const [kind] = bytes;
    if (method === "60.40") frames.publish += 1;
    else if (kind === 2) frames.header += 1;
    else if (kind === 3) frames.body += 1;
    else if (kind !== 8) frames.other += 1; // 8: heartbeat
    return true;
  };
});
afterAll(async () => {
  await broker.close(5_000);
  await database.close();
  await postgres.close();
  await rabbitmq.close();
  await service.stop();
});

/** Over the one connection: what another session has read or written may be told of seconds later, when it is not expected. */
const query = <Row>(text: string, values?: readonly unknown[]) => database.query<Row>(text, values);

/** What the work costs. Rows: inserted, updated (of those within their page: HOT), deleted, per table that was written. */
async function cost(work: () => Promise<unknown>) {
  const before = await rowsWritten();
  postgres.take();
  Object.assign(frames, { publish: 0, header: 0, body: 0, other: 0 });
  await work();
  const asked = postgres.take();
  const sent = { ...frames };
  const after = await rowsWritten();
  const rows: Record<string, Record<string, number>> = {};
  for (const [table, counts] of Object.entries(after)) {
    const names = Object.keys(counts) as (keyof typeof counts)[];
    const changed = names.map((name) => [name, counts[name] - (before[table]?.[name] ?? 0)] as const);
    const written = changed.filter(([, count]) => count > 0);
    if (written.length > 0) rows[table] = Object.fromEntries(written);
  }
  return { ...asked, rows, frames: sent };
}

interface Written {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

const rowsWritten = () => perTable<Written>("n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted");

/** What the statistics say about each table, complete up to now. */
async function perTable<Counts>(columns: string): Promise<Record<string, Counts>> {
  await database.transaction((tx) => tx.query("SELECT pg_stat_force_next_flush()"));
  const rows = await database.transaction((tx) =>
    tx.query<Counts & { table: string }>(`SELECT relname AS table, ${columns} FROM pg_stat_user_tables`),
  );
  return Object.fromEntries(rows.map(({ table, ...counts }) => [table, counts as Counts]));
}

async function schedules(overlap: string): Promise<void> {
  await query("DELETE FROM runs");
  await query("DELETE FROM schedules");
  await query("DELETE FROM agenda");
  await query(
    `INSERT INTO schedules (name, kind, cron_expression, action, payload, overlap)
     SELECT 'schedule ' || n, 'cron', '0 0 1 1 *', 'test.plain', '{"n": 1}', $2 FROM generate_series(1, $1::int) AS n`,
    [RUNS, overlap],
  );
  while ((await plan(deps)).full);
  await makeDue("0 s");
}

/** Moves the schedules as planning enters them: together. */
async function makeDue(after: string): Promise<void> {
  await query(
    `WITH entered AS (UPDATE agenda SET next_run_at = now() + $1::interval)
     UPDATE schedules SET next_run_at = now() + $1::interval, entered_by = pg_current_xact_id()`,
    [after],
  );
}

async function fireAll(): Promise<void> {
  let fired = 0;
  while (fired < RUNS) {
    const result = await fire(deps, RUNS);
    await result.published;
    fired += result.fired;
  }
}

test(`${RUNS} fired schedules that were foreseen`, async () => {
  await schedules("skip");
  await makeDue("1 s");
  const outlook = new Outlook();
  let next_in_ms: number | null = null;
  for (let full = true; full; ) ({ full, next_in_ms } = await fireOnTime(deps, outlook));
  await deps.clock.sleep(next_in_ms! + 2);
  expect(
    await cost(async () => {
      const result = await fireOnTime(deps, outlook, RUNS);
      await result.published;
      expect(result.fired).toBe(RUNS);
    }),
  ).toEqual({
    // The state of affairs, one for all of the rest, and the lease's end.
    statements: 3,
    round_trips: 3,
    rows: {
      agenda: { inserted: RUNS / 100, deleted: RUNS / 100 },
      schedules: { updated: RUNS },
      runs: { inserted: RUNS },
      leases: { inserted: 1, deleted: 1 },
    },
    frames: { publish: RUNS, header: RUNS, body: RUNS, other: 0 },
  });
});

// "allow" and the default differ in the look for unfinished runs.
for (const [overlap, statements] of [
  ["allow", 8],
  ["skip", 9],
] as const) {
  test(`${RUNS} fired schedules, overlap ${overlap}`, async () => {
    await schedules(overlap);
    expect(await cost(fireAll)).toEqual({
      statements,
      round_trips: statements,
      rows: {
        agenda: { inserted: RUNS / 100, deleted: RUNS / 100 },
        schedules: { updated: RUNS },
        runs: { inserted: RUNS },
        leases: { inserted: 1, deleted: 1 },
      },
      frames: { publish: RUNS, header: RUNS, body: RUNS, other: 0 },
    });
  });
}

test(`${RUNS} runs dispatched and reported on`, async () => {
  await query("DELETE FROM runs");
  const rows = await query<{ id: string }>(
    `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, policy)
     SELECT 'test.plain', 1, 'manual', now(), '{}' FROM generate_series(1, $1::int) RETURNING id`,
    [RUNS],
  );
  expect(
    await cost(async () => {
      const { published } = await dispatch(deps);
      await published;
    }),
  ).toEqual({
    statements: 8,
    round_trips: 8,
    rows: { runs: { updated: RUNS }, leases: { inserted: 1, deleted: 1 } },
    frames: { publish: RUNS, header: RUNS, body: RUNS, other: 0 },
  });
  for (const [status, statements] of [
    ["started", 4],
    ["completed", 6],
  ] as const) {
    const said = await cost(() =>
      ingest(
        deps,
        rows.map((run) => delivery(run, status)),
      ),
    );
    expect(said).toEqual({
      statements,
      round_trips: statements,
      rows: { runs: { updated: RUNS } },
      frames: { publish: 0, header: 0, body: 0, other: 0 },
    });
  }
});

// What every poll does, so that a million schedules at rest cost no more than ten.
test(`every pass with nothing to do, among ${RUNS} schedules and as many runs that have ended`, async () => {
  await schedules("skip");
  await fireAll();
  await makeDue("1 day");
  await query("UPDATE runs SET status = 'completed', completed_at = now(), deadline_at = NULL");
  const rowsRead = () => perTable<{ rows: number }>("seq_tup_read + idx_tup_fetch AS rows");
  const before = await rowsRead();
  await fireOnTime(deps, new Outlook());
  for (const pass of [plan, dispatch, expand, relay]) await pass(deps);
  await supervise(deps, { id: deps.instance, version: "0", broker: "connected", passes: {} });
  const after = await rowsRead();
  const read = (table: string) => after[table]!.rows - before[table]!.rows;
  expect({ runs: read("runs"), schedules: read("schedules") }).toEqual({ runs: 0, schedules: 0 });
});
