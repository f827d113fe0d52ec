import { spawn } from "node:child_process";

/**
 * The guard is a shell that reads from a pipe whose other end only we hold. A line means that the child has ended and
 * nothing is left to do; end of file means that we are gone, SIGKILL included, and that the guard has to end it.
 */
export function startGuard(pid: number, stopSignal: NodeJS.Signals, removeAfterwards: readonly string[]): () => void {
  const script = `
    if read -r _; then exit 0; fi
    pid=$1; signal=$2; shift 2
    kill -s CONT $pid; kill -s $signal $pid; tries=0
    while kill -s 0 $pid && [ $tries -lt 50 ]; do sleep 0.2; tries=$((tries + 1)); done
    kill -s KILL -- -$pid
    [ $# = 0 ] || rm -rf -- "$@"`;
  const args = ["-c", script, "pocketwatch-guard", String(pid), stopSignal.replace("SIG", ""), ...removeAfterwards];
  const process = spawn("/bin/sh", args, { detached: true, cwd: "/", stdio: ["pipe", "ignore", "ignore"] });
  process.on("error", () => {});
  process.stdin.on("error", () => {});
  process.unref();
  (process.stdin as unknown as { unref(): void }).unref();
  return () => void process.stdin.end("done\n");
}
