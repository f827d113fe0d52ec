import { setTimeout as sleep } from "node:timers/promises";
import { startLedgerConsumer } from "../support/ledger-consumer.ts";

/*
 * A consumer in a process of its own, for 17: it works for longer than it will live. What it received and was confirmed
 * goes to its parent at once, or the record would die with it.
 */
const [url, prefix, ...queues] = process.argv.slice(2);
let count = 0;
const consumer = startLedgerConsumer({
  url: url!,
  prefix: prefix!,
  queues,
  prefetch: 100,
  async work(_trigger, say, ack) {
    await say("started");
    // Every other trigger is acknowledged by now and guarded by heartbeats alone.
    if (count++ % 2 === 0) ack();
    await sleep(60_000);
  },
});
let told = 0;
setInterval(() => {
  for (const { body, ...record } of consumer.deliveries.slice(told)) {
    told += 1;
    process.send?.({ delivery: { ...record, bytes: body.length } });
  }
  process.send?.({ reports: consumer.reports.filter((report) => report.confirmed) });
}, 20);
