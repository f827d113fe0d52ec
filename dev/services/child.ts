import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { startGuard } from "./guard.ts";
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
  await once(child, "spawn"); // rejects with the error event: no such program, not permitted
  return tend(child, options.stopSignal, options.removeAfterwards);
}

/** The same care for a child that was spawned elsewhere with `detached: true`, because its output is wanted. */
export function tend(child: ChildProcess, stopSignal: NodeJS.Signals, removeAfterwards: readonly string[] = []): Child {
  const pid = child.pid;
  if (pid === undefined) throw new Error("the child has not been spawned");
  const dismissGuard = startGuard(pid, stopSignal, removeAfterwards);
  let howItEnded: string | null = null;
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
    async stop(timeoutMs) {
      if (howItEnded !== null) return;
      child.kill("SIGCONT"); // a frozen process would never see the next one
      child.kill(stopSignal);
      if (!(await settlesWithin(ended, timeoutMs))) await this.kill();
    },
    async kill() {
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

/** True if the promise settles in time. */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const abort = new AbortController();
  const timeout = sleep(timeoutMs, false, { signal: abort.signal }).catch(() => false);
  const settled = await Promise.race([promise.then(() => true), timeout]);
  abort.abort();
  return settled;
}
