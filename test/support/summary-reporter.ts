import type { Reporter, TestModule } from "vitest/node";

/** Prints `N passed, N failed` as the run's very last line, for whoever reads the output with a program. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let [passed, failed, skipped] = [0, unhandledErrors.length, 0];
    for (const module of modules) {
      const states = [...module.children.allTests()].map((test) => test.result().state);
      passed += states.filter((state) => state === "passed").length;
      const failures = states.filter((state) => state === "failed").length;
      skipped += states.length - states.filter((state) => state === "passed").length - failures;
      // A file that cannot even be loaded, or whose hook failed, has no failed test to count.
      failed += failures === 0 && module.state() === "failed" ? 1 : failures;
    }
    // What is stopped after the run may still have something to say; nothing comes after "exit".
    process.once("exit", (code) => {
      // A run that fails without a failed test (a server did not start, a coverage threshold) must not read as green.
      const failures = code !== 0 ? Math.max(failed, 1) : failed;
      process.stdout.write(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
    });
  }
}
