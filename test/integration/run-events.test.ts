import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MessageType } from "../../src/contracts/messages.ts";
import { parseMessage } from "../../src/contracts/parse.ts";
import { requestCancel } from "../../src/database/waiting-runs.ts";
import type { Deps } from "../../src/deps.ts";
import { relay } from "../../src/passes/relay.ts";
import { type Life, NOON, startLife, type Told } from "../support/life.ts";

let life: Life;
beforeAll(async () => {
  life = await startLife();
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

const ALL = ["completed", "failed", "skipped", "cancelled", "retrying"];

/** Everything on the wire keeps its contract. */
function valid(told: readonly Told[]) {
  for (const event of told) {
    const parsed = parseMessage(event.type as MessageType, Buffer.from(JSON.stringify(event)));
    expect(parsed, JSON.stringify(event)).toMatchObject({ ok: true });
  }
  return told;
}

async function lives(status: string, columns: Record<string, unknown> = {}) {
  const run = await life.trigger(await life.schedule({ max_attempts: 1, ...columns }));
  await life.handOver();
  await life.say(run, status, { error: { code: "E", message: "no" }, metrics: { n: 1 }, result: { ok: 1 } });
  return run;
}

describe("notify_on", () => {
  for (const status of ["completed", "failed", "skipped", "cancelled"]) {
    test(`${status} is told where it is asked for, and only there`, async () => {
      await lives(status, { notify_on: ALL.filter((name) => name !== status) });
      const run = await lives(status, { notify_on: [status], labels: { team: "infra" }, name: `told ${status}` });
      const [event, ...others] = valid(await life.relayed("events", 1));
      expect(others).toEqual([]);
      expect(event).toMatchObject({
        type: `run.${status}.v1`,
        data: {
          ...{ run_id: run.id, schedule_name: `told ${status}`, labels: { team: "infra" }, attempt: 1, status },
          ...{
            metrics: { n: 1 },
            result: { ok: 1 },
            worker: "/test/consumer",
            completed_at: "2026-03-01T12:00:00.000Z",
          },
        },
      });
    });
  }

  test("retrying is told with the attempt that failed and when the next one comes; failed at the end", async () => {
    const run = await life.trigger(await life.schedule({ notify_on: ALL, max_attempts: 2, retry_backoff_seconds: 60 }));
    await life.handOver();
    await life.at(5);
    await life.say(run, "failed", { error: { code: "E1", message: "first" } });
    await life.at(70);
    await life.handOver();
    await life.say({ id: run.id, attempt: 2 }, "failed", { error: { message: "second" } });
    const [retrying, failed] = valid(await life.relayed("events", 2));
    expect(retrying).toMatchObject({
      type: "run.retrying.v1",
      data: { attempt: 1, error: { code: "E1", message: "first" }, status_reason: "error" },
    });
    const next = Date.parse(retrying?.data.next_attempt_at as string);
    expect(next).toBeGreaterThan(NOON + 5_000 + 53_999);
    expect(failed).toMatchObject({
      type: "run.failed.v1",
      data: { attempt: 2, error: { code: null, message: "second" } },
    });
  });

  test("what fire skips is told as well: overlap, and a range that was missed", async () => {
    await life.schedule({ kind: "cron", cron_expression: "* * * * *", overlap: "skip", notify_on: ["skipped"] });
    await life.at(60);
    await life.fire();
    await life.at(300);
    await life.fire();
    const told = valid(await life.relayed("events", 2));
    expect(told.map(({ data }) => data.status_reason).sort()).toEqual(["missed", "overlap"]);
    expect(told.find(({ data }) => data.status_reason === "missed")?.data.result).toMatchObject({ count: 3 });
  });

  test("a trigger by hand that overlap skips, and runs that are superseded", async () => {
    const skip = await life.schedule({ overlap: "skip", notify_on: ALL });
    await life.trigger(skip);
    await life.trigger(skip);
    const newest = await life.schedule({ overlap: "cancel_previous", notify_on: ALL });
    for (const seconds of [1, 2, 3]) {
      await life.at(seconds);
      await life.trigger(newest);
    }
    await life.supervise();
    await life.supervise();
    const told = valid(await life.relayed("events", 3));
    expect(told.map(({ type, data }) => `${type} ${data.status_reason}`)).toEqual([
      "run.skipped.v1 overlap",
      "run.cancelled.v1 superseded",
      "run.cancelled.v1 superseded",
    ]);
  });

  test("a parent and each of its children", async () => {
    const parent = await life.trigger(await life.schedule({ targets: ["a", "b"], notify_on: ALL, max_attempts: 1 }));
    await life.handOver();
    const children = await life.runs("parent_run_id IS NOT NULL");
    await life.say(children[0]!, "completed");
    await life.say(children[1]!, "failed");
    const told = valid(await life.relayed("events", 3));
    expect(told.map(({ type, data }) => [type, data.target, data.status_reason])).toEqual([
      ["run.completed.v1", children[0]!.target, null],
      ["run.failed.v1", children[1]!.target, "error"],
      ["run.failed.v1", null, "partial"],
    ]);
    expect(told[2]?.data).toMatchObject({ run_id: parent.id, result: { total: 2, completed: 1, failed: 1 } });
  });

  test("a run without a schedule", async () => {
    await life.service.rows(
      `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, policy)
       VALUES ('test.plain', 1, 'manual', now(), '{"notify_on": ["cancelled"], "timeout_seconds": 60, "start_deadline_seconds": 60,
         "heartbeat_seconds": null, "max_attempts": 1}')`,
    );
    const [run] = await life.runs();
    await life.service.database.transaction((tx) => requestCancel(tx, [run!.id], "requested"));
    await life.supervise();
    const [event] = valid(await life.relayed("events", 1));
    expect(event).toMatchObject({
      type: "run.cancelled.v1",
      data: { schedule_id: null, schedule_name: null, labels: {} },
    });
  });
});

describe("the relay", () => {
  const outbox = () => life.service.rows<{ message_id: string }>("SELECT message_id, lease_until FROM outbox");
  const answering = (outcome: "unknown" | "refused" | "unroutable" | "rejected" | "confirmed"): Deps => ({
    ...life.deps,
    publisher: {
      ...{ ready: true, onChange: life.deps.publisher.onChange },
      publish: async (messages) => messages.map(() => outcome),
    },
  });

  test("sends at least once, with the same id: what was not confirmed is sent again after its lease", async () => {
    await lives("failed");
    const [row] = await outbox();
    expect(await relay(answering("unknown"))).toMatchObject({ sent: 0 });
    await life.at(10);
    expect(await relay(life.deps)).toMatchObject({ sent: 0 });
    await life.at(16);
    expect(await relay(life.deps)).toMatchObject({ sent: 1 });
    const [event] = await life.relayed("events", 1);
    expect(event?.id).toBe(row?.message_id);
    expect(await outbox()).toEqual([]);
  });

  test("what it could not send it comes back for when the lease is over, not at the poll", async () => {
    await lives("failed");
    expect((await relay(answering("refused"))).next_in_ms).toBeGreaterThan(14_000);
    expect((await relay(answering("refused"))).next_in_ms).toBeGreaterThan(14_000);
  });

  test("a message that nobody listens for has been told to everybody who does", async () => {
    await lives("failed");
    expect(await relay(answering("unroutable"))).toMatchObject({ sent: 1 });
    expect(await outbox()).toEqual([]);
  });

  test("one that the broker rejects is not tried for ever", async () => {
    await lives("failed");
    expect(await relay(answering("rejected"))).toMatchObject({ sent: 1 });
    expect(await outbox()).toEqual([]);
  });

  test("while the broker is away nothing is claimed", async () => {
    await lives("failed");
    const away = { ...life.deps, publisher: { ...answering("unknown").publisher, ready: false } };
    expect(await relay(away)).toMatchObject({ sent: 0 });
    expect(await outbox()).toMatchObject([{ lease_until: null }]);
  });
});
