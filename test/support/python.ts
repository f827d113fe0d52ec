import { spawnSync } from "node:child_process";

/** A Python that can `import pika`, or null: such tests are then skipped, with this reason. */
export const python: string | null =
  ["/usr/bin/python3", "python3"].find((path) => spawnSync(path, ["-c", "import pika"]).status === 0) ?? null;

export const NO_PYTHON = "no python3 with pika on this machine (Debian: apt install python3-pika)";
