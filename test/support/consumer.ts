import { randomUUID } from "node:crypto";
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from "amqplib";
import type { TestBroker } from "./broker.ts";
import { waitFor } from "./wait-for.ts";

/** A trigger event as a consumer in any language sees it. */
export interface Trigger {
  readonly id: string;
  readonly type: string;
  readonly data: {
    readonly run_id: string;
    readonly attempt: number;
    readonly schedule_name: string | null;
    readonly target: string | null;
    readonly payload: unknown;
    readonly scheduled_for: string;
    readonly trigger_type: string;
    readonly priority: string;
  };
  readonly message: ConsumeMessage;
}

/** Plays a consumer over a connection of its own, with nothing of the service's code. */
export interface TestConsumer {
  readonly triggers: Trigger[];
  readonly channel: Channel;
  /** Waits until so many triggers have come; answers them all. */
  received(count: number, timeoutMs?: number): Promise<Trigger[]>;
  /** Says something about a run; resolves once the broker has it. */
  report(trigger: { run_id: string; attempt: number }, status: string, more?: object): Promise<void>;
  /** Another channel, for what may close it. */
  open(): Promise<Channel>;
  close(): Promise<void>;
}

let sequence = 0;

/** @param actions `scout.trigger.v1` … whose work queues are consumed and acknowledged at once */
export async function startTestConsumer(names: TestBroker, ...actions: string[]): Promise<TestConsumer> {
  const connection: ChannelModel = await connect(names.url);
  connection.on("error", () => {});
  const channel = await connection.createConfirmChannel();
  channel.on("error", () => {});
  const triggers: Trigger[] = [];
  for (const action of actions) {
    await channel.consume(`${names.prefix}.work.${action}`, (message) => {
      if (message === null) return;
      channel.ack(message);
      triggers.push({ ...JSON.parse(message.content.toString()), message });
    });
  }
  return {
    triggers,
    channel,
    received: (count, timeoutMs = 10_000) =>
      waitFor(() => triggers.length >= count && triggers, {
        timeoutMs,
        describe: () => `${count} triggers (${triggers.length} came)`,
      }),
    async report(trigger, status, more = {}) {
      const id = randomUUID();
      const event = {
        specversion: "1.0",
        id,
        type: "run.status.v1",
        source: "/test/consumer",
        data: { run_id: trigger.run_id, attempt: trigger.attempt, sequence: ++sequence, status, ...more },
      };
      const options = { contentType: "application/cloudevents+json", persistent: true, messageId: id };
      channel.publish(`${names.prefix}.status`, "run.status.v1", Buffer.from(JSON.stringify(event)), options);
      await channel.waitForConfirms();
    },
    async open() {
      const other = await connection.createChannel();
      other.on("error", () => {});
      return other;
    },
    close: () => connection.close(),
  };
}
