import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { onOurEnd } from "./guard.ts";
import { descendants, isAlive, signal } from "./process-tree.ts";

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Both outputs are appended here, by the child itself, so that it can go on writing whatever becomes of us. */
  readonly logFile: string;
  /** Which signal asks it to end in good order. */
  readonly stopSignal: NodeJS.Signals;
  /** Removed once the child has ended because we did: data that is nobody's any more. */
  readonly removeAfterwards?: readonly string[];
}

export interface Child {
  readonly pid: number;
  readonly running: boolean;
  /** Settles when it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** `exit code 1`, `SIGKILL`; null while it runs. */
  readonly howItEnded: string | null;
  /** The same and the end of its log, if it ended without being asked to. */
  readonly failure: string | null;
  stop(timeoutMs: number): Promise<void>;
  kill(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/**
 * Starts a program that ends when we do, however we end. It gets a session of its own, so that a Ctrl-C in the
 * terminal reaches only us and we decide the order in which things stop.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const log = openSync(options.logFile, "a");
  const child = spawn(options.command, options.args, {
    env: options.env,
    detached: true,
    stdio: ["ignore", log, log],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  closeSync(log);
  // In the same tick, or an exception elsewhere could end us between the two.
  const tended = child.pid === undefined ? null : tend(child, options);
  await once(child, "spawn"); // rejects with the error event: no such program, not permitted
  if (tended === null) throw new Error(`${options.command} has no process id`);
  return tended;
}

/** The same care for a child that was spawned elsewhere with `detached: true`, because its output is wanted. */
export function tend(
  child: ChildProcess,
  options: Pick<ChildOptions, "stopSignal" | "logFile" | "removeAfterwards">,
): Child {
  const pid = child.pid;
  if (pid === undefined) throw new Error("the child has not been spawned");
  const signalName = options.stopSignal.replace("SIG", "");
  const dismissGuard = onOurEnd(END_IT, [String(pid), signalName, ...(options.removeAfterwards ?? [])]);
  let howItEnded: string | null = null;
  let askedToEnd = false;
  const ended = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      howItEnded = signal ?? `exit code ${code}`;
      dismissGuard();
      resolve();
    });
  });
  child.unref(); // a forgotten service must not hold its owner's process open; the guard ends it

  return {
    pid,
    ended,
    get running() {
      return howItEnded === null;
    },
    get howItEnded() {
      return howItEnded;
    },
    get failure() {
      if (howItEnded === null || askedToEnd) return null;
      return `${howItEnded}; ${options.logFile} ends with:\n${lastLines(options.logFile)}`;
    },
    async stop(timeoutMs) {
      askedToEnd = true;
      if (howItEnded !== null) return;
      child.kill("SIGCONT"); // a frozen process would never see the next one
      child.kill(options.stopSignal);
      if (!(await settlesWithin(ended, timeoutMs))) await this.kill();
    },
    async kill() {
      askedToEnd = true;
      const pids = await descendants(pid);
      for (const each of pids) signal(each, "SIGKILL");
      while (howItEnded === null || pids.some(isAlive)) await sleep(5);
    },
    async pause() {
      for (const each of await descendants(pid)) signal(each, "SIGSTOP");
    },
    async resume() {
      for (const each of await descendants(pid)) signal(each, "SIGCONT");
    },
  };
}

/** Asks the process, ends its whole group after 10 s, and removes the folders that come after its number and signal. */
const END_IT = `
  pid=$1; signal=$2; shift 2
  kill -s CONT $pid; kill -s $signal $pid; tries=0
  while kill -s 0 $pid && [ $tries -lt 50 ]; do sleep 0.2; tries=$((tries + 1)); done
  kill -s KILL -- -$pid
  [ $# = 0 ] || rm -rf -- "$@"`;

/** True if the promise settles in time. */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const abort = new AbortController();
  const timeout = sleep(timeoutMs, false, { signal: abort.signal }).catch(() => false);
  const settled = await Promise.race([promise.then(() => true), timeout]);
  abort.abort();
  return settled;
}

export function lastLines(file: string, count = 12): string {
  const lines = readFileSync(file, "utf8").trimEnd().split("\n").slice(-count);
  return lines.map((line) => `  | ${line}`).join("\n");
}
