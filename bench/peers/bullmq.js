import { Queue, Worker } from "bullmq";
import { announce, count, jobs, url } from "./contender.js";

// Delayed jobs, added in bulk; one worker with a concurrency that keeps its round trips to Redis apart.
const { hostname: host, port } = new URL(url);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue("burst", { connection });
await announce(async (at) => {
  for (let from = 0; from < count; from += 1_000) {
    await queue.addBulk(
      jobs(from, 1_000).map((data) => ({ name: "scout", data, opts: { delay: Math.max(0, at - Date.now()) } })),
    );
  }
}, async (received) => {
  const worker = new Worker("burst", async (job) => received(job.data.id), { connection, concurrency: 100 });
  await worker.waitUntilReady();
});
