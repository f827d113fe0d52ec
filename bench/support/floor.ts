import { randomUUID } from "node:crypto";
import { connect } from "amqplib";
import { triggerBody, triggerMessage } from "../../src/messaging/trigger-event.ts";
import { runTraceparent } from "../../src/schedule/run-id.ts";

/*
 * The floor: amqplib in one process, publishing with confirms to the same queue what the service would publish, nothing else.
 * The messages are made beforehand. `tsx floor.ts <amqp url> <exchange> <routing key> <count>`; prints `ready`, starts at the
 * first line on stdin, prints one line of JSON when the last confirm has come.
 */
const [, , url, exchange, routing_key, count] = process.argv as [string, string, string, string, string, string];
const now = Date.now();
const messages = Array.from({ length: Number(count) }, (_, index) => {
  const run_id = randomUUID();
  const facts = {
    run_id,
    attempt: 1,
    schedule_id: randomUUID(),
    schedule_name: `schedule ${index}`,
    action: "scout.trigger",
    action_version: 1,
    trigger_type: "scheduled",
    triggered_by: `schedule ${index}`,
    scheduled_for: Math.floor(now / 1_000) * 1_000,
    target: null,
    priority: "normal",
    timeout_seconds: 3_600,
    heartbeat_seconds: null,
    payload_json: '{"source": "stratninja", "max_strategies": 20}',
    traceparent: runTraceparent(run_id),
  } as const;
  const message = triggerMessage(facts, triggerBody(facts), { exchange, routing_key }, now, now + 3_600_000);
  const properties = {
    persistent: true,
    mandatory: true,
    messageId: message.message_id,
    type: message.type!,
    contentType: message.content_type!,
    priority: message.priority!,
    expiration: message.expiration_ms!,
    headers: message.headers!,
  };
  return { body: Buffer.from(message.body), properties };
});
const connection = await connect(url, { noDelay: true });
const channel = await connection.createConfirmChannel();
console.log("ready");
process.stdin.once("data", async () => {
  const began = Date.now();
  for (const { body, properties } of messages) {
    const flows = channel.publish(exchange, routing_key, body, properties);
    if (!flows) await new Promise((resolve) => channel.once("drain", resolve));
  }
  await channel.waitForConfirms();
  console.log(JSON.stringify({ began, confirmed: Date.now() }));
  await connection.close();
  process.exit(0);
});
