import { connect } from "amqplib";

/*
 * A consumer process: takes so many messages from a queue, acknowledges them, and says when the last one came.
 * `tsx receiver.ts <amqp url> <queue> <count>`; prints `ready`, then one line of JSON.
 */
const [, , url, queue, count] = process.argv as [string, string, string, string, string];
const wanted = Number(count);
const connection = await connect(url, { noDelay: true });
const channel = await connection.createChannel();
await channel.prefetch(2_000);
const ids = new Set<string>();
let received = 0;
let first = 0;
await channel.consume(queue, (message) => {
  if (message === null) return;
  if (received === 0) first = Date.now();
  ids.add(String(message.properties.messageId));
  received += 1;
  // One frame for many acknowledgements: the receiver must not be what is measured.
  if (received % 500 === 0 || received >= wanted) channel.ack(message, true);
  if (received === wanted) {
    console.log(JSON.stringify({ first, last: Date.now(), received, distinct: ids.size }));
    void channel
      .close()
      .then(() => connection.close())
      .then(() => process.exit(0));
  }
});
console.log("ready");
