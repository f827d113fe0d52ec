import { type Channel, type ChannelModel, connect } from "amqplib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Deps } from "../../src/deps.ts";
import type { Outcome } from "../../src/messaging/outgoing.ts";
import { names } from "../../src/messaging/topology.ts";
import { dispatch } from "../../src/passes/dispatch.ts";
import { fire } from "../../src/passes/fire.ts";
import { ingest } from "../../src/passes/ingest.ts";
import { recoverLeases } from "../../src/passes/recover-leases.ts";
import { rejectTriggers } from "../../src/passes/reject.ts";
import { delivery, type Life, NOON, startLife } from "../support/life.ts";
import type { TestService } from "../support/service.ts";
import { waitFor } from "../support/wait-for.ts";

let life: Life;
let sibling: TestService;
let connection: ChannelModel;
let channel: Channel;
let work: string;
let triggersExchange: string;
beforeAll(async () => {
  life = await startLife("test.plain");
  sibling = await life.service.sibling("test-2");
  connection = await connect(life.service.names.url);
  channel = await connection.createChannel();
  const { queue, exchange } = names(life.service.names.prefix);
  work = queue.work("test.capped", 1);
  triggersExchange = exchange.triggers;
  life.service.broker.consume({
    queue: { name: queue.rejected_triggers },
    prefetch: 100,
    batch_size: 10,
    handle: async (batch) => void (await rejectTriggers(life.deps, batch)),
  });
});
afterAll(async () => {
  await connection.close();
  await life.stop();
});
beforeEach(async () => {
  await life.reset();
  sibling.setNow(NOON);
  await channel.purgeQueue(work);
});

const leases = () => life.service.rows<{ run_ids: string[] }>("SELECT * FROM leases");
const triggersOf = (run: { id: string }) => life.consumer.triggers.filter(({ data }) => data.run_id === run.id);

/** The same service with a publisher that behaves otherwise: a broker that is away, or does not answer. */
function withPublisher(publisher: Partial<Deps["publisher"]>): Deps {
  const real = life.deps.publisher;
  return {
    ...life.deps,
    publisher: { ready: real.ready, onChange: real.onChange, publish: (m, t) => real.publish(m, t), ...publisher },
  };
}
const answering = (outcome: Outcome) => withPublisher({ publish: async (messages) => messages.map(() => outcome) });

describe("a lease", () => {
  test("left by an instance that was killed is published again by another, with the same id", async () => {
    const run = await life.trigger(await life.schedule());
    // Committed as dispatched; the process dies before anything is sent.
    void dispatch(withPublisher({ publish: () => new Promise(() => {}) }));
    await waitFor(async () => (await leases()).length === 1, { describe: "the lease" });
    expect((await life.run(run.id)).status).toBe("dispatched");
    sibling.setNow(NOON + 14_000);
    expect(await recoverLeases(sibling.deps)).toBe(0);
    sibling.setNow(NOON + 16_000);
    expect(await recoverLeases(sibling.deps)).toBe(1);
    await life.trigger_of(run);
    expect(await leases()).toEqual([]);
    await life.say(run, "completed");
    expect((await life.run(run.id)).status).toBe("completed");
  });

  test("whose confirms did not come keeps those runs, and publishes them again", async () => {
    const schedule = await life.schedule();
    const [sure, unsure] = [await life.trigger(schedule), await life.trigger(schedule)];
    const deps = withPublisher({
      async publish(messages, timeout) {
        const outcomes = await life.deps.publisher.publish(messages, timeout);
        return messages.map(({ message_id }, index) =>
          message_id.startsWith(unsure.id) ? "unknown" : (outcomes[index] as Outcome),
        );
      },
    });
    await (await dispatch(deps)).published;
    expect(await leases()).toMatchObject([{ run_ids: [unsure.id] }]);
    await life.at(16);
    expect(await recoverLeases(life.deps)).toBe(1);
    await waitFor(() => triggersOf(unsure).length === 2, { describe: "the second copy" });
    expect(new Set(triggersOf(unsure).map(({ id }) => id)).size).toBe(1);
    expect(triggersOf(sure)).toHaveLength(1);
  });

  test("taken over does not publish what was answered meanwhile", async () => {
    const schedule = await life.schedule();
    const [answered, open] = [await life.trigger(schedule), await life.trigger(schedule)];
    await (await dispatch(answering("unknown"))).published;
    await ingest(life.deps, [delivery(answered, "started")]);
    await life.at(16);
    await recoverLeases(life.deps);
    await life.trigger_of(open);
    expect(triggersOf(answered)).toEqual([]);
  });

  test("that two instances want at once is taken over by one", async () => {
    const run = await life.trigger(await life.schedule());
    await (await dispatch(answering("unknown"))).published;
    await life.at(16);
    sibling.setNow(life.now());
    const taken = await Promise.all([recoverLeases(life.deps), recoverLeases(sibling.deps)]);
    expect(taken.sort()).toEqual([0, 1]);
    await life.trigger_of(run);
    expect(triggersOf(run)).toHaveLength(1);
  });

  test("settled by its first holder after another took it over harms nothing", async () => {
    const run = await life.trigger(await life.schedule());
    let answer = (_: Outcome[]) => {};
    const late = dispatch(withPublisher({ publish: () => new Promise((resolve) => (answer = resolve)) }));
    await waitFor(async () => (await leases()).length === 1, { describe: "the lease" });
    await life.at(16);
    await recoverLeases(
      sibling.deps.publisher.ready ? { ...sibling.deps, database: life.deps.database } : sibling.deps,
    );
    await life.trigger_of(run);
    await life.say(run, "started");
    answer(["unroutable"]);
    await (await late).published;
    expect((await life.run(run.id)).status).toBe("running");
    expect(await leases()).toEqual([]);
  });
});

describe("while the broker is away or blocked", () => {
  test("nothing is claimed, and fire inserts what it finds due as pending", async () => {
    const away = withPublisher({ ready: false });
    const manual = await life.trigger(await life.schedule());
    await life.schedule({ kind: "cron", cron_expression: "* * * * *" });
    expect(await dispatch(away)).toMatchObject({ dispatched: 0 });
    await life.at(60);
    expect(await fire(away)).toMatchObject({ fired: 0 });
    expect((await life.runs()).map(({ status }) => status)).toEqual(["pending", "pending"]);
    expect(await leases()).toEqual([]);
    await life.handOver();
    expect((await life.run(manual.id)).status).toBe("dispatched");
    await life.consumer.received(2);
  });
});

describe("an early answer", () => {
  test("that comes while the lease is not settled counts, and the lease undoes nothing", async () => {
    const run = await life.trigger(await life.schedule());
    const deps = withPublisher({
      async publish(messages) {
        await ingest(life.deps, [delivery(run, "started")]);
        return messages.map(() => "unroutable" as const);
      },
    });
    await (await dispatch(deps)).published;
    expect(await life.run(run.id)).toMatchObject({ status: "running", status_reason: null });
    expect(await leases()).toEqual([]);
  });

  test("even an end", async () => {
    const run = await life.trigger(await life.schedule());
    const deps = withPublisher({
      async publish(messages) {
        await ingest(life.deps, [delivery(run, "failed")]);
        return messages.map(() => "refused" as const);
      },
    });
    await (await dispatch(deps)).published;
    expect(await life.run(run.id)).toMatchObject({ status: "pending", status_reason: "retry", attempt: 2 });
  });
});

describe("what the broker does not take", () => {
  test("unroutable: pending with a reason and a backoff that grows, later delivered with the same id", async () => {
    const run = await life.trigger(await life.schedule());
    const plain = names(life.service.names.prefix).queue.work("test.plain", 1);
    await channel.unbindQueue(plain, triggersExchange, "test.plain.v1");
    await life.handOver();
    const returned = await life.run(run.id);
    expect(returned).toMatchObject({
      ...{
        status: "pending",
        status_reason: "unroutable",
        attempt: 1,
        dispatched_at: null,
        available_at: NOON + 1_000,
      },
      deadline_at: run.deadline_at,
    });
    expect(returned.error_message).toMatch(/no queue is bound/);
    await life.at(10);
    await life.handOver();
    expect((await life.run(run.id)).available_at).toBe(NOON + 20_000);
    await life.at(600);
    await life.handOver();
    expect((await life.run(run.id)).available_at).toBe(NOON + 660_000);
    expect(await leases()).toEqual([]);
    await channel.bindQueue(plain, triggersExchange, "test.plain.v1");
    await life.at(660);
    await life.handOver();
    expect((await life.trigger_of(run)).id).toBe(`${run.id}:1`);
    await life.say(run, "started");
    expect(await life.run(run.id)).toMatchObject({ status: "running", error_message: null });
  });

  test("an action whose contract has gone is unroutable, and holds up nobody else", async () => {
    const gone = await life.trigger(await life.schedule());
    await life.service.rows("UPDATE runs SET action = 'test.gone' WHERE id = $1", [gone.id]);
    const other = await life.trigger(await life.schedule());
    await life.handOver();
    await life.trigger_of(other);
    expect((await life.run(gone.id)).status_reason).toBe("unroutable");
  });

  test("what it will never take fails as rejected, at once and alone", async () => {
    const schedule = await life.schedule();
    const [big, small] = [await life.trigger(schedule), await life.trigger(schedule)];
    const deps = withPublisher({
      async publish(messages, timeout) {
        const outcomes = await life.deps.publisher.publish(messages, timeout);
        return messages.map(({ message_id }, index) =>
          message_id.startsWith(big.id) ? "rejected" : (outcomes[index] as Outcome),
        );
      },
    });
    await (await dispatch(deps)).published;
    expect(await life.run(big.id)).toMatchObject({ status: "failed", status_reason: "rejected", attempt: 1 });
    expect((await life.run(small.id)).status).toBe("dispatched");
    expect(await leases()).toEqual([]);
  });

  test("a run whose row was damaged by hand is rejected alone, and its batch goes out", async () => {
    const schedule = await life.schedule();
    const [damaged, sound] = [await life.trigger(schedule), await life.trigger(schedule)];
    await life.service.rows("UPDATE runs SET deadline_at = 'infinity' WHERE id = $1", [damaged.id]);
    await life.handOver();
    await life.trigger_of(sound);
    expect(await life.run(damaged.id)).toMatchObject({ status: "failed", status_reason: "rejected" });
    expect(await leases()).toEqual([]);
  });
});

describe("a trigger that consumers do not want", () => {
  const capped = (columns: Record<string, unknown> = {}) =>
    life.schedule({ action: "test.capped", retry_backoff_seconds: 0, ...columns });
  const ended = (run: { id: string }, attempt: number) =>
    waitFor(async () => (await life.run(run.id)).attempt > attempt || (await life.run(run.id)).completed_at !== null, {
      describe: "the rejection",
    });

  test("rejected: its attempt has failed, and is tried again", async () => {
    const run = await life.trigger(await capped({ max_attempts: 2 }));
    for (const attempt of [1, 2]) {
      await life.handOver();
      const message = await waitFor(() => channel.get(work), { describe: "the trigger" });
      channel.reject(message, false);
      await ended(run, attempt);
    }
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "rejected", attempt: 2 });
    expect(await life.service.rows("SELECT status_reason FROM run_attempts")).toEqual([{ status_reason: "rejected" }]);
  });

  test("delivered too often: the same", async () => {
    const run = await life.trigger(await capped({ max_attempts: 1 }));
    await life.handOver();
    for (let deliveries = 0; deliveries <= 5; deliveries += 1) {
      const message = await waitFor(() => channel.get(work), { describe: `delivery ${deliveries}` });
      channel.nack(message, false, true);
    }
    await ended(run, 1);
    expect(await life.run(run.id)).toMatchObject({ status: "failed", status_reason: "rejected" });
    expect((await life.run(run.id)).error_message).toMatch(/too often/);
  });

  test("of an attempt that is over changes nothing", async () => {
    const run = await life.trigger(await capped());
    await life.handOver();
    const message = await waitFor(() => channel.get(work), { describe: "the trigger" });
    await life.say(run, "failed");
    const before = await life.run(run.id);
    channel.reject(message, false);
    const dead = `${work}.dead`;
    await waitFor(async () => (await channel.checkQueue(dead)).messageCount > 0, { describe: "the dead letter" });
    expect(await life.run(run.id)).toEqual(before);
  });
});
