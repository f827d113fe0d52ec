import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * The password of a private server, drawn at its first start. Loopback is open to every user of a machine, and whoever
 * gets into Postgres as its superuser can run programs.
 */
export async function rememberedPassword(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const file = join(directory, "password");
  const drawn = randomBytes(12).toString("hex");
  await writeFile(file, drawn, { mode: 0o600, flag: "wx" }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  return readFile(file, "utf8");
}
