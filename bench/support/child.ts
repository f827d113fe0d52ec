import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface BenchChild {
  readonly process: ChildProcess;
  /** The next line it prints. Rejects once it has ended without printing one. */
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
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  let ended = false;
  const silence = () => new Error(`${script} has ended and said no more`);
  createInterface({ input: child.stdout })
    .on("line", (line) => {
      const next = waiting.shift();
      if (next) next.resolve(line);
      else lines.push(line);
    })
    .on("close", () => {
      ended = true;
      for (const each of waiting.splice(0)) each.reject(silence());
    });
  return {
    process: child,
    line: () =>
      new Promise((resolve, reject) => {
        const line = lines.shift();
        if (line !== undefined) resolve(line);
        else if (ended) reject(silence());
        else waiting.push({ resolve, reject });
      }),
  };
}

/** `CPU_PROF=<directory>` writes a profile of the service there (`--cpu-prof`). */
function profiling(script: string): string[] {
  const directory = process.env.CPU_PROF;
  return directory && script.endsWith("/main.js") ? ["--cpu-prof", "--cpu-prof-dir", directory] : [];
}
