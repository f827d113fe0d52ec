import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { announce, count, jobs, url } from "./contender.js";

// As its page on performance says: a local queue, completions in batches.
const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ connectionString: url, logger });
await utils.migrate();
await announce(async (at) => {
  const run_at = new Date(at);
  for (let from = 0; from < count; from += 1_000) {
    await utils.addJobs(jobs(from, 1_000).map((payload) => ({ identifier: "scout", payload, runAt: run_at })));
  }
}, async (received) => {
  await run({
    preset: {
      worker: {
        connectionString: url,
        concurrentJobs: 24,
        maxPoolSize: 25,
        pollInterval: 100,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
      },
    },
    logger,
    taskList: { scout: async (payload) => received(payload.id) },
  });
});
