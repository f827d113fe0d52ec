import { spawn } from "node:child_process";

/**
 * Runs a shell script when this process has ended, however it ended, SIGKILL included. The shell reads from a pipe
 * whose other end only we hold: end of file means that we are gone, a line (sent by the function that this gives back)
 * that there is nothing left to do.
 */
export function onOurEnd(script: string, args: readonly string[]): () => void {
  const guard = spawn("/bin/sh", ["-c", `if read -r _; then exit 0; fi\n${script}`, "pocketwatch-guard", ...args], {
    cwd: "/",
    detached: true, // a Ctrl-C in the terminal must not end it before its time
    stdio: ["pipe", "ignore", "ignore"],
  });
  guard.on("error", () => {});
  guard.stdin.on("error", () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return () => void guard.stdin.end("done\n");
}
