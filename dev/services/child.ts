import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

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
  /** Removed once the child has ended because we did: for data that is nobody's any more. */
  readonly removeAfterwards?: string;
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
export function tend(child: ChildProcess, stopSignal: NodeJS.Signals, removeAfterwards?: string): Child {
  const pid = child.pid;
  if (pid === undefined) throw new Error("the child has not been spawned");
  const dismissGuard = guard(pid, stopSignal, removeAfterwards);
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

/**
 * The guard is a shell that reads from a pipe whose other end only we hold. A line means that the child has ended and
 * nothing is left to do; end of file means that we are gone, SIGKILL included, and that the guard has to end it.
 */
function guard(pid: number, stopSignal: NodeJS.Signals, removeAfterwards = ""): () => void {
  const script = `
    if read -r _; then exit 0; fi
    kill -s "$2" "$1"; tries=0
    while kill -s 0 "$1" && [ $tries -lt 50 ]; do sleep 0.2; tries=$((tries + 1)); done
    kill -s KILL -- "-$1"
    [ -z "$3" ] || rm -rf -- "$3"`;
  const args = ["-c", script, "pocketwatch-guard", String(pid), stopSignal.replace("SIG", ""), removeAfterwards];
  const process = spawn("/bin/sh", args, { detached: true, cwd: "/", stdio: ["pipe", "ignore", "ignore"] });
  process.on("error", () => {});
  process.stdin.on("error", () => {});
  process.unref();
  (process.stdin as unknown as { unref(): void }).unref();
  return () => void process.stdin.end("done\n");
}

/** True if the promise settles in time. */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const abort = new AbortController();
  const timeout = sleep(timeoutMs, false, { signal: abort.signal }).catch(() => false);
  const settled = await Promise.race([promise.then(() => true), timeout]);
  abort.abort();
  return settled;
}

/** A zombie counts as dead: it runs no more, and where process 1 collects slowly it stays for a while. */
export function isAlive(pid: number): boolean {
  if (!signal(pid, 0)) return false;
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return !existsSync("/proc/self"); // ended meanwhile, or a system without /proc
  }
}

export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // it lives, and is not ours
  }
}

/** The process and everything below it. Postgres's backends have sessions of their own, so a process group is not enough. */
export async function descendants(pid: number): Promise<number[]> {
  const parents = await parentOfEach();
  const found = [pid];
  for (const each of found) for (const [child, parent] of parents) if (parent === each) found.push(child);
  return found;
}

async function parentOfEach(): Promise<Map<number, number>> {
  const parents = new Map<number, number>();
  const entries = await readdir("/proc").catch(() => []);
  for (const entry of entries) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => ""); // it may have ended meanwhile
    // "pid (name) state ppid …", and the name may hold anything, parentheses included.
    const ppid = stat.slice(stat.lastIndexOf(")") + 1).split(" ")[2];
    if (ppid !== undefined) parents.set(Number(entry), Number(ppid));
  }
  if (parents.size > 0) return parents;
  const ps = spawn("ps", ["-A", "-o", "pid=,ppid="], { stdio: ["ignore", "pipe", "ignore"] }); // no /proc: macOS
  let output = "";
  for await (const chunk of ps.stdout) output += chunk;
  for (const line of output.trim().split("\n")) {
    const [child, parent] = line.trim().split(/\s+/).map(Number);
    if (child !== undefined && parent !== undefined) parents.set(child, parent);
  }
  return parents;
}
