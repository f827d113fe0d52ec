import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

interface Row {
  readonly fault: string;
  readonly due: number;
  readonly delivered: number;
  readonly duplicates: number;
  readonly lost: number;
  readonly longest_delay_s: number;
}

/** Prints what each fault did, where scenarios left a row of the table (test/faults/scenario.ts). */
export default class FaultTableReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lines = modules.flatMap((module) =>
      [...module.children.allTests()].flatMap((test) => {
        const row = test.meta().row as Row | undefined;
        if (row === undefined) return [];
        const verdict = test.result().state === "passed" ? "" : "FAILED";
        return [[row.fault, row.due, row.delivered, row.duplicates, row.lost, row.longest_delay_s.toFixed(1), verdict]];
      }),
    );
    if (lines.length === 0) return;
    const head = ["fault", "due", "delivered", "duplicates", "lost", "longest delay, s", ""];
    const table = [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
    process.stdout.write(`\n${table}\n\n`);
    if (process.env.FAULTS_TABLE) writeFileSync(process.env.FAULTS_TABLE, `${table}\n`);
  }
}
