import { connect } from "amqplib";

/*
 * The floor: amqplib in one process, publishing the same bytes with confirms to the same queue, nothing else.
 * `tsx floor.ts <amqp url> <exchange> <routing key> <count> <body in base64>`; prints `ready`, starts at the first line on
 * stdin, prints one line of JSON when the last confirm has come.
 */
const [, , url, exchange, key, count, encoded] = process.argv as [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
];
const body = Buffer.from(encoded, "base64");
const connection = await connect(url, { noDelay: true });
const channel = await connection.createConfirmChannel();
console.log("ready");
process.stdin.once("data", async () => {
  const began = Date.now();
  for (let index = 0; index < Number(count); index += 1) {
    const flows = channel.publish(exchange, key, body, {
      persistent: true,
      mandatory: true,
      messageId: `floor-${index}`,
      contentType: "application/cloudevents+json",
      priority: 4,
      expiration: 86_400_000,
      headers: { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
    });
    if (!flows) await new Promise((resolve) => channel.once("drain", resolve));
  }
  await channel.waitForConfirms();
  console.log(JSON.stringify({ began, confirmed: Date.now() }));
  await connection.close();
  process.exit(0);
});
