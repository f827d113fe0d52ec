import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface BenchChild {
  readonly process: ChildProcess;
  /** The next line it prints. */
  line(): Promise<string>;
}

/** Runs a script of this folder, or a compiled one at an absolute path, in a process of its own. */
export function runChild(
  script: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): BenchChild {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const loader = script.endsWith(".ts") ? ["--import", "tsx"] : [];
  const child = spawn(process.execPath, [...profiling(script), ...loader, path, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { PATH: process.env.PATH, ...environment },
  });
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const next = waiting.shift();
    if (next) next(line);
    else lines.push(line);
  });
  return {
    process: child,
    line: () => (lines.length > 0 ? Promise.resolve(lines.shift()!) : new Promise((resolve) => waiting.push(resolve))),
  };
}

/** `CPU_PROF=<directory>` writes a profile of the service there (`--cpu-prof`). */
function profiling(script: string): string[] {
  const directory = process.env.CPU_PROF;
  return directory && script.endsWith("/main.js") ? ["--cpu-prof", "--cpu-prof-dir", directory] : [];
}
