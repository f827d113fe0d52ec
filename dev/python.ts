import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { aptInstall } from "./services/apt.ts";
import type { Say } from "./services/service.ts";

/** A Python that has pika, installed if that is possible; null (and why) where the agent has to be done without. */
export async function pythonWithPika(say: Say): Promise<string | null> {
  for (const python of ["python3", "/usr/bin/python3"]) if (await canImportPika(python)) return python;
  if ((await aptInstall(["python3-pika"], say)) && (await canImportPika("/usr/bin/python3"))) return "/usr/bin/python3";
  say(
    "The Python scout agent needs Python 3.9 or later with pika, which is not here: install python3-pika (Debian,\n" +
      "Ubuntu) or run `pip install pika`. Going on without it: runs will wait as `dispatched` until one is started.",
  );
  return null;
}

async function canImportPika(python: string): Promise<boolean> {
  const script = "import sys, pika; sys.exit(sys.version_info < (3, 9))";
  return promisify(execFile)(python, ["-c", script]).then(
    () => true,
    () => false,
  );
}
