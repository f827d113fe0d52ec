import { connect } from "amqplib";

/*
 * A consumer as contracts/README.md asks for, whose work takes no time: for every trigger it sends `started`, acknowledges
 * the trigger once the broker has confirmed that, and sends `completed`. `tsx worker.ts <amqp url> <queue> <status exchange>`;
 * prints `ready`, and ends with its stdin.
 */
const [, , url, queue, exchange] = process.argv as [string, string, string, string, string];
const connection = await connect(url, { noDelay: true });
const channel = await connection.createConfirmChannel();
await channel.prefetch(1_000);

let sequence = 0;
function say(run_id: string, attempt: number, status: string, confirmed: () => void): void {
  const id = `${run_id}:${attempt}:${status}`;
  const data = { run_id, attempt, sequence: ++sequence, status, metrics: { validated: 3 } };
  const event = { specversion: "1.0", id, type: "run.status.v1", source: "/bench/worker", data };
  const options = { persistent: true, contentType: "application/cloudevents+json", messageId: id };
  channel.publish(exchange, "run.status.v1", Buffer.from(JSON.stringify(event)), options, (error) => {
    if (error) throw error;
    confirmed();
  });
}

await channel.consume(queue, (message) => {
  if (message === null) return;
  const { run_id, attempt } = JSON.parse(message.content.toString()).data;
  say(run_id, attempt, "started", () => {
    channel.ack(message);
    say(run_id, attempt, "completed", () => {});
  });
});
console.log("ready");
process.stdin.resume().once("end", () => process.exit(0));
