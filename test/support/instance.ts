import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { inject } from "vitest";
import { onOurEnd } from "../../dev/services/guard.ts";
import { waitFor } from "./wait-for.ts";

/** The service as its users run it: a process of its own. */
export interface Instance {
  readonly process: ChildProcess;
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** What it logged so far, one JSON object per line. */
  readonly log: () => Record<string, unknown>[];
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
}

/** Starts `pocketwatch serve` of the run's build; resolves once it is ready (or, with `until: "started"`, once it has a process). */
export async function startInstance(
  environment: Record<string, string>,
  options: { readonly until?: "ready" | "started" } = {},
): Promise<Instance> {
  const child = spawn(process.execPath, ["dist/main.js", "serve"], {
    cwd: inject("build"),
    env: { PATH: process.env.PATH, HTTP_PORT: "0", LOG_LEVEL: "info", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // A test that fails before it holds the instance cannot stop it.
  const dismissGuard = onOurEnd('kill -s KILL "$1"', [String(child.pid)]);
  child.once("exit", dismissGuard);
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  child.stderr.on("data", (chunk) => (output += chunk));
  const exited = once(child, "exit") as Promise<[number | null]>;
  const log = () =>
    output.split("\n").flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return line === "" ? [] : [{ msg: line }];
      }
    });
  const instance = {
    process: child,
    get url() {
      const listening = log().find((entry) => typeof entry.http === "string");
      return String(listening?.http);
    },
    log,
    async stop() {
      child.kill("SIGTERM");
      return (await exited)[0];
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
  if (options.until !== "started") {
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`the service ended with ${child.exitCode}:\n${output}`);
        return instance.url !== "undefined" && (await fetch(`${instance.url}/readyz`)).ok;
      },
      { timeoutMs: 30_000, describe: () => `the service to be ready; it said:\n${output}` },
    );
  }
  return instance;
}
