import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";

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
