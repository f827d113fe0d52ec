import { defineConfig } from "vitest/config";
import LongFilesFirst from "./test/support/long-files-first.ts";

export default defineConfig({
  test: {
    // Most of a test is waiting for servers and processes; the default on two cores would be one file at a time.
    maxWorkers: 3,
    // They share nothing but modules, whose evaluation is most of what a small file takes.
    isolate: false,
    sequence: { sequencer: LongFilesFirst },
    reporters: ["default", "./test/support/fault-table-reporter.ts", "./test/support/summary-reporter.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          // Nothing in them waits: a limit would only measure the machine.
          testTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts", "test/end-to-end/**/*.test.ts", "test/faults/selection.test.ts"],
          // Starts Postgres and RabbitMQ once for the whole run; the unit project starts nothing.
          globalSetup: ["./test/support/global-setup.ts"],
          testTimeout: 20_000,
          hookTimeout: 60_000,
        },
      },
      // `npm run test:faults`: every fault of test/faults, half an hour, on servers of its own that it may harm.
      ...(process.env.FAULTS === "all"
        ? [
            {
              extends: true as const,
              test: {
                name: "faults",
                include: ["test/faults/**/*.test.ts"],
                exclude: [
                  "test/faults/selection.test.ts",
                  ...(process.env.SOAK_MINUTES ? [] : ["test/faults/soak.test.ts"]),
                ],
                // One worker, so that all files share one pair of servers, and faults come one at a time.
                fileParallelism: false,
                maxWorkers: 1,
                maxConcurrency: 3,
                hookTimeout: 120_000,
              },
            },
          ]
        : []),
    ],
  },
});
