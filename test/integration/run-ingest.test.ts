import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ingest } from "../../src/passes/ingest.ts";
import { delivery, type Life, NOON, rawDelivery, startLife } from "../support/life.ts";
import { holdRow } from "../support/row-lock.ts";

let life: Life;
beforeAll(async () => {
  life = await startLife();
});
afterAll(() => life.stop());
beforeEach(() => life.reset());

async function dispatched(count: number) {
  const schedule = await life.schedule();
  const runs = [];
  for (let index = 0; index < count; index += 1) runs.push(await life.trigger(schedule));
  await life.handOver();
  return runs;
}

describe("a batch", () => {
  test("is folded per run in the order of its messages, into one write", async () => {
    const [run] = await dispatched(1);
    const batch = [
      delivery(run!, "started"),
      delivery(run!, "progress", { progress: 10, metrics: { a: 1 } }),
      delivery(run!, "progress", { progress: 60, metrics: { b: 2 } }),
      delivery(run!, "failed", { error: { message: "no" } }),
      delivery(run!, "progress", { progress: 99 }),
    ];
    expect(await ingest(life.deps, batch)).toEqual({ applied: 4, stale: 1, late: 0, unknown: 0, invalid: 0 });
    expect(batch.map(({ verdict }) => verdict)).toEqual(["ack", "ack", "ack", "ack", "ack"]);
    expect(await life.run(run!.id)).toMatchObject({ status: "pending", attempt: 2, progress: null });
    expect(await life.service.rows("SELECT progress, metrics FROM run_attempts")).toEqual([
      { progress: 60, metrics: { a: 1, b: 2 } },
    ]);
  });

  test("counts what ended, by status, reason and action", async () => {
    const [first, second] = await dispatched(2);
    await ingest(life.deps, [delivery(first!, "completed"), delivery(second!, "skipped")]);
    const { values } = await life.deps.metrics.runs_ended.get();
    expect(values.map(({ labels, value }) => ({ ...labels, value }))).toEqual(
      expect.arrayContaining([
        { status: "completed", reason: "", action: "test.plain", value: expect.any(Number) },
        { status: "skipped", reason: "consumer", action: "test.plain", value: 1 },
      ]),
    );
  });

  test("the same batch again changes nothing", async () => {
    const [run] = await dispatched(1);
    const batch = [delivery(run!, "started"), delivery(run!, "completed", { result: 1 })];
    await ingest(life.deps, batch);
    const before = await life.run(run!.id);
    await life.at(100);
    expect(await ingest(life.deps, batch)).toMatchObject({ applied: 0, late: 2 });
    expect(await life.run(run!.id)).toEqual(before);
  });
});

describe("messages that cannot be used", () => {
  test("break their contract: each to the dead letters with its reason, the others count", async () => {
    const [run] = await dispatched(1);
    const wrong: [object, RegExp][] = [
      [{ progress: 250 }, /progress/],
      [{ sequence: -1 }, /sequence/],
      [{ metrics: { a: "many" } }, /metrics/],
      [{ status: "finished" }, /status/],
      [{ attempt: 0 }, /attempt/],
      [{ message: "\u0000" }, /message/],
      [{ result: { deep: "\ud800" } }, /result/],
    ];
    const batch = wrong.map(([more]) => delivery(run!, "progress", more));
    const good = delivery(run!, "completed");
    const garbage = rawDelivery("run.status.v1", Buffer.from("not json"));
    const result = await ingest(life.deps, [...batch, garbage, good]);
    expect(result).toMatchObject({ applied: 1, invalid: wrong.length + 1 });
    for (const [index, [, reason]] of wrong.entries()) expect(batch[index]?.verdict).toMatch(reason);
    expect(garbage.verdict).toMatch(/^dead: body: expected JSON/);
    expect((await life.run(run!.id)).status).toBe("completed");
  });

  test("Postgres refuses one that keeps its contract: halved until it stands alone, the others are kept", async () => {
    const runs = await dispatched(7);
    const batch = runs.map((run) => delivery(run, "progress", { progress: 50 }));
    // Fits the contract (0 to 100) and JSON, but is too small for the column's type.
    batch[4] = delivery(runs[4]!, "progress", { progress: 1e-60 });
    expect(await ingest(life.deps, batch)).toMatchObject({ applied: 6, invalid: 1 });
    expect(batch.map(({ verdict }) => verdict?.slice(0, 4))).toEqual([
      "ack",
      "ack",
      "ack",
      "ack",
      "dead",
      "ack",
      "ack",
    ]);
    expect(batch[4]?.verdict).toMatch(/cannot be stored: .*out of range/);
    expect((await life.runs("progress = 50")).length).toBe(6);
  });

  test("of a run that was inserted by hand, with nothing but what the table demands, is like any other", async () => {
    const [{ id } = { id: "" }] = await life.service.rows<{ id: string }>(
      `INSERT INTO runs (action, action_version, trigger_type, scheduled_for, available_at)
       VALUES ('test.plain', 1, 'manual', now(), pocketwatch_now()) RETURNING id`,
    );
    await life.handOver();
    expect((await life.trigger_of({ id })).data).toMatchObject({ timeout_seconds: 7_200, heartbeat_seconds: null });
    await life.say({ id }, "failed", { error: { message: "no" } });
    expect(await life.run(id)).toMatchObject({ status: "pending", attempt: 2 });
  });

  test("of an unknown run are kept for a minute, then go to the dead letters: no loop", async () => {
    const unknown = { id: "019b77b2-0000-7000-8000-00000000dead" };
    const fresh = delivery(unknown, "completed");
    const old = { ...delivery(unknown, "completed"), first_seen: performance.now() - 61_000 };
    const verdicts: string[] = [];
    old.deadLetter = (reason) => void verdicts.push(reason);
    expect(await ingest(life.deps, [fresh, old])).toMatchObject({ unknown: 2 });
    expect(fresh.verdict).toBe("later");
    expect(verdicts).toEqual(["run_id: no such run"]);
  });

  test("a database failure is not the messages' fault: it is thrown, and nothing is said about them", async () => {
    const [run] = await dispatched(1);
    const held = await holdRow(life.service, run!.id);
    const message = delivery(run!, "completed");
    const ingesting = expect(ingest(life.deps, [message])).rejects.toMatchObject({ code: "57014" });
    await held.waiter(1);
    await life.service.rows(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    await ingesting;
    expect(message.verdict).toBeNull();
    await held.release();
    await ingest(life.deps, [message]);
    expect(message.verdict).toBe("ack");
    expect((await life.run(run!.id)).status).toBe("completed");
  });

  test("a release that fails after the commit does not undo it, and is left to supervise", async () => {
    const schedule = await life.schedule({ overlap: "buffer_all" });
    const first = await life.trigger(schedule);
    await life.at(1);
    const second = await life.trigger(schedule);
    await life.handOver();
    let transactions = 0;
    const database = {
      ...life.deps.database,
      transaction: ((work) => {
        transactions += 1;
        if (transactions > 1) throw new Error("the connection is lost");
        return life.deps.database.transaction(work);
      }) as typeof life.deps.database.transaction,
    };
    life.service.woken.length = 0;
    const message = delivery(first, "completed");
    expect(await ingest({ ...life.deps, database }, [message])).toMatchObject({ applied: 1 });
    expect(message.verdict).toBe("ack");
    expect(life.service.woken).toContain("supervise");
    await life.supervise();
    expect((await life.run(second.id)).status).toBe("pending");
  });
});

describe("a run that ended", () => {
  test("keeps when it was handed over, started, last heard of and ended", async () => {
    const [run] = await dispatched(1);
    for (const [seconds, status] of [
      [5, "started"],
      [20, "heartbeat"],
      [30, "completed"],
    ] as const) {
      await life.at(seconds);
      await life.say(run!, status);
    }
    expect(await life.run(run!.id)).toMatchObject({
      ...{ dispatched_at: NOON, started_at: NOON + 5_000, heartbeat_at: NOON + 30_000, completed_at: NOON + 30_000 },
      ...{ worker: "/test/consumer", deadline_at: null },
    });
  });
});
