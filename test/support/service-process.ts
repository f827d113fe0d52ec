import { spawn } from "node:child_process";
import { once } from "node:events";
import { onOurEnd } from "../../dev/services/guard.ts";
import { descendants, signal } from "../../dev/services/process-tree.ts";
import { waitFor } from "./wait-for.ts";

export type LogEntry = Record<string, unknown> & { readonly msg?: string };

/** The service as a process of its own, to be harmed. */
export interface ServiceProcess {
  readonly name: string;
  readonly pid: number;
  readonly running: boolean;
  /** What it logged so far, one object per line. */
  readonly log: readonly LogEntry[];
  /** Lines that were not JSON: a stack trace, say. */
  readonly noise: readonly string[];
  /** `SIGKILL`, `exit code 1`: it ended although nobody here ended it; null otherwise. */
  readonly crash: string | null;
  /** Where its HTTP API listens, once it does. */
  readonly http: string | null;
  ready(): Promise<void>;
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<string>;
  /** It is meant to end by itself, at a failpoint. */
  readonly doomed: boolean;
  signal(name: NodeJS.Signals): Promise<void>;
  /** SIGTERM; resolves with how it ended. */
  stop(): Promise<string>;
  kill(): Promise<void>;
}

export interface ServiceProcessOptions {
  readonly name: string;
  /** A folder made by `buildService`. */
  readonly build: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Programs and arguments in front: `["faketime", "-f", "+2h"]`. */
  readonly wrapper?: readonly string[];
}

export function startServiceProcess(options: ServiceProcessOptions): ServiceProcess {
  const { name, build, environment, wrapper = [] } = options;
  const [command, ...args] = [...wrapper, process.execPath, "dist/main.js", "serve"];
  const child = spawn(command!, args, {
    cwd: build,
    env: { PATH: process.env.PATH, HTTP_PORT: "0", INSTANCE: name, LOG_LEVEL: "info", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a group of its own, for the guard
  });
  const dismissGuard = onOurEnd('kill -s KILL -- "-$1"', [String(child.pid)]);
  const log: LogEntry[] = [];
  const noise: string[] = [];
  let rest = "";
  const read = (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      try {
        log.push(JSON.parse(line));
      } catch {
        if (line !== "") noise.push(line);
      }
    }
  };
  child.stdout.on("data", read);
  child.stderr.on("data", (chunk: Buffer) => noise.push(...chunk.toString().trimEnd().split("\n")));
  const doomed = environment.FAILPOINT?.includes(":kill") ?? false;
  let asked = doomed;
  let how: string | null = null;
  const ended = once(child, "exit").then(([code, by]) => {
    dismissGuard();
    how = by === null ? `exit code ${code}` : String(by);
    return how;
  });
  // A wrapper (faketime) runs the service as its child: signals are for both.
  const everyone = () => (wrapper.length === 0 ? Promise.resolve([child.pid!]) : descendants(child.pid!));

  return {
    name,
    pid: child.pid!,
    log,
    noise,
    ended,
    doomed,
    get running() {
      return how === null;
    },
    get crash() {
      return how === null || asked ? null : `${how}: ${noise.slice(-8).join(" | ")}`;
    },
    get http() {
      const entry = log.find((line) => typeof line.http === "string");
      return entry === undefined ? null : String(entry.http);
    },
    async ready() {
      await waitFor(() => how !== null || log.some((line) => line.msg === "pocketwatch is running"), {
        timeoutMs: 60_000,
        describe: () => `${name} to run; it said:\n${noise.join("\n")}\n${JSON.stringify(log.slice(-5))}`,
      });
      if (how !== null && how !== "SIGKILL") throw new Error(`${name} ended (${how}):\n${noise.join("\n")}`);
    },
    async signal(what) {
      for (const pid of await everyone()) signal(pid, what);
    },
    async stop() {
      asked = true;
      if (how === null) for (const pid of await everyone()) signal(pid, "SIGTERM");
      return ended;
    },
    async kill() {
      asked = true;
      for (const pid of await everyone()) signal(pid, "SIGKILL");
      await ended;
    },
  };
}
