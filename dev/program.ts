import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { type Child, tend } from "./services/child.ts";

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Emptied at the start. */
  readonly logFile: string;
  readonly onLine: (line: string) => void;
}

/** Starts one of our own programs: its output goes to the log, and line by line to whoever picks out what matters. */
export async function startProgram(options: ProgramOptions): Promise<Child> {
  const child = spawn(options.command, options.args, {
    env: options.env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const tended = child.pid === undefined ? null : tend(child, { stopSignal: "SIGTERM", logFile: options.logFile });
  const log = createWriteStream(options.logFile);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      log.write(`${line}\n`);
      options.onLine(line);
    });
  }
  await once(child, "spawn"); // rejects if there is no such program
  if (tended === null) throw new Error(`${options.command} has no process id`);
  return tended;
}
