import PgBoss from "pg-boss";
import { announce, count, jobs, url } from "./contender.js";

// The shortest poll it allows, and batches of a thousand.
const boss = new PgBoss({ connectionString: url });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("burst");
await announce(async (at) => {
  const startAfter = new Date(at);
  for (let from = 0; from < count; from += 1_000) {
    await boss.insert(jobs(from, 1_000).map((data) => ({ name: "burst", data, startAfter })));
  }
}, async (received) => {
  await boss.work("burst", { batchSize: 1_000, pollingIntervalSeconds: 0.5 }, async (batch) => {
    for (const job of batch) received(job.data.id);
  });
});
