import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from "amqplib";

export interface TriggerData {
  readonly run_id: string;
  readonly attempt: number;
  readonly schedule_name: string | null;
  readonly target: string | null;
  readonly scheduled_for: string;
}

/** One delivery of a trigger event; the same event may come more than once. */
export interface DeliveryRecord {
  readonly id: string;
  readonly message_id: string;
  readonly data: TriggerData;
  readonly at: number;
  readonly queue: string;
  readonly body: Buffer;
}

/** One status update, and whether the broker confirmed it: from then on it must not be lost. */
export interface ReportRecord {
  readonly run_id: string;
  readonly attempt: number;
  readonly status: string;
  /** Its name among the run's metrics: what is in the database proves which updates arrived. */
  readonly mark: string;
  confirmed: boolean;
}

/** Resolves when the broker has confirmed it, however many connections that takes. */
export type Say = (status: string, more?: Record<string, unknown>) => Promise<void>;

/** What the consumer does with a trigger it has not seen before; a second delivery is answered with the last status. */
export type Work = (trigger: DeliveryRecord, say: Say, ack: () => void) => Promise<void>;

export interface LedgerConsumer {
  readonly deliveries: readonly DeliveryRecord[];
  readonly reports: readonly ReportRecord[];
  /** Triggers whose work has not ended. */
  readonly busy: number;
  /** Says something about a run, outside of any work. */
  say(trigger: TriggerData, status: string, more?: Record<string, unknown>): Promise<void>;
  /** Publishes anything; resolves when confirmed. */
  publish(exchange: string, key: string, body: Buffer, properties?: Record<string, unknown>): Promise<void>;
  /** Loses its connection, as if its host had died; it comes back by itself. */
  drop(): void;
  close(): Promise<void>;
}

export interface LedgerConsumerOptions {
  readonly url: string;
  readonly prefix: string;
  readonly queues: readonly string[];
  readonly work?: Work;
  readonly prefetch?: number;
  /** How often each status update is published. */
  readonly copies?: number;
}

/** Starts, makes progress, completes; acknowledges once `started` is safe, as consumers are told to. */
export const ordinaryWork: Work = async (_trigger, say, ack) => {
  await say("started");
  ack();
  await say("progress", { progress: 50 });
  await say("completed", { result: { done: true } });
};

/** The same, but every fourth is slow to say anything: longer than a lease lasts, so that an open lease shows. */
export function hesitantWork(): Work {
  let count = 0;
  return async (trigger, say, ack) => {
    if (count++ % 4 === 0) await sleep(HESITATION_MS);
    await ordinaryWork(trigger, say, ack);
  };
}
const HESITATION_MS = 22_000;

/** Plays consumers that keep a record in memory of everything they received and were confirmed. Survives its broker. */
export function startLedgerConsumer(options: LedgerConsumerOptions): LedgerConsumer {
  const { url, prefix, queues, work = ordinaryWork, prefetch = 1_000, copies = 1 } = options;
  const deliveries: DeliveryRecord[] = [];
  const reports: ReportRecord[] = [];
  const known = new Map<string, { last: () => Promise<void>; done: Promise<void> }>();
  const closing = new AbortController();
  const address = new URL(url);
  // Both sides of a dead connection find out within 20 s; the broker's own suggestion, 60 s, makes that three minutes.
  address.searchParams.set("heartbeat", "10");
  let connection: ChannelModel | null = null;
  let channel: ConfirmChannel | null = null;
  let busy = 0;
  let marks = 0;

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const opened = await connect(address.href, { timeout: 5_000, noDelay: true });
        opened.on("error", () => {});
        connection = opened;
        const lost = new Promise<void>((resolve) => opened.once("close", () => resolve()));
        const session = (async () => {
          // A connection that was closed in the breath in which it was opened answers nothing, and has said so already.
          const next = await Promise.race([opened.createConfirmChannel(), sleep(5_000, null)]);
          if (next === null) throw new Error("no answer to channel.open");
          next.on("error", () => {});
          await next.prefetch(prefetch);
          const over = new Promise<void>((resolve) => {
            next.once("close", () => resolve());
            for (const queue of queues)
              next.consume(queue, (message) => (message ? receive(next, queue, message) : resolve())).catch(resolve);
          });
          channel = next;
          await over;
        })();
        await Promise.race([lost, session]);
      } catch {
        // Tried again below.
      }
      channel = null;
      await connection?.close().catch(() => {});
      await sleep(100);
    }
  }
  const running = run();

  function receive(on: ConfirmChannel, queue: string, message: ConsumeMessage): void {
    const { content: body, properties } = message;
    const { id, data } = JSON.parse(body.toString()) as { id: string; data: TriggerData };
    const record = { id, message_id: properties.messageId, data, at: Date.now(), queue, body };
    deliveries.push(record);
    let acked = false;
    const ack = () => {
      if (acked) return;
      acked = true;
      try {
        on.ack(message);
      } catch {
        // Its channel is gone, so the broker delivers it again.
      }
    };
    busy += 1;
    const seen = known.get(id);
    const answer = seen === undefined ? begin(record, ack) : seen.done.then(() => seen.last());
    void answer
      .then(ack)
      .catch(() => {})
      .finally(() => {
        busy -= 1;
      });
  }

  function begin(record: DeliveryRecord, ack: () => void): Promise<void> {
    const entry = { last: async () => {}, done: Promise.resolve() };
    known.set(record.id, entry);
    const say: Say = (status, more = {}) => {
      const report = newReport(record.data, status);
      const send = () => sayIt(report, more);
      entry.last = send;
      return send();
    };
    entry.done = work(record, say, ack);
    return entry.done;
  }

  function newReport({ run_id, attempt }: TriggerData, status: string): ReportRecord & { sequence: number } {
    marks += 1;
    const mark = `u${marks}-${process.pid}`;
    const report = { run_id, attempt, status, mark, confirmed: false, sequence: marks };
    reports.push(report);
    return report;
  }

  async function sayIt(report: ReportRecord & { sequence: number }, more: Record<string, unknown>): Promise<void> {
    const { run_id, attempt, status, mark } = report;
    const sequence = report.sequence;
    const data = { run_id, attempt, sequence, status, metrics: { [mark]: 1 }, ...more };
    const id = randomUUID();
    const event = { specversion: "1.0", id, type: "run.status.v1", source: "/ledger/consumer", data };
    const properties = { contentType: "application/cloudevents+json", messageId: id };
    for (let copy = 0; copy < copies; copy++) {
      await publish(`${prefix}.status`, "run.status.v1", Buffer.from(JSON.stringify(event)), properties);
    }
    report.confirmed = true;
  }

  async function publish(exchange: string, key: string, body: Buffer, properties = {}): Promise<void> {
    for (;;) {
      if (closing.signal.aborted) throw new Error("the consumer is closing");
      const on = channel;
      if (on !== null && (await confirmed(on, exchange, key, body, properties))) return;
      await sleep(20);
    }
  }

  return {
    deliveries,
    reports,
    publish,
    get busy() {
      return busy;
    },
    say: (trigger, status, more = {}) => sayIt(newReport(trigger, status), more),
    drop() {
      // With an error, or amqplib does not notice before its heartbeats fail. Its typings keep the socket to themselves.
      const model = connection as unknown as { connection: { stream: { destroy(error: Error): void } } } | null;
      model?.connection.stream.destroy(new Error("dropped"));
    },
    async close() {
      closing.abort();
      await connection?.close().catch(() => {});
      await running;
    },
  };
}

function confirmed(
  on: ConfirmChannel,
  exchange: string,
  key: string,
  body: Buffer,
  properties: object,
): Promise<boolean> {
  return new Promise((resolve) => {
    const lost = () => resolve(false);
    on.once("close", lost);
    try {
      on.publish(exchange, key, body, { persistent: true, ...properties }, (error) => {
        on.off("close", lost);
        resolve(error === null || error === undefined);
      });
    } catch {
      resolve(false);
    }
    on.setMaxListeners(0);
  });
}
