import { execFile } from "node:child_process";
import { cp, mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { onOurEnd } from "../../dev/services/guard.ts";

export const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));

const run = promisify(execFile);

/**
 * Compiles the service as it stands now into a folder of its own and answers that folder. Child processes then start in
 * a third of the time that tsx takes, and an edit during a long run does not change what is being tested.
 *
 * @param source another checkout, for two versions at once; FAULTS_SOURCE names the one to be tested
 */
export async function buildService(source = process.env.FAULTS_SOURCE ?? CHECKOUT): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "pocketwatch-build-"));
  onOurEnd('rm -rf -- "$1"', [root]);
  const tsc = join(CHECKOUT, "node_modules/.bin/tsc");
  const project = join(source, "tsconfig.build.json");
  // Types are the check's business, and most of the time; what can be emitted is emitted.
  const args = ["-p", project, "--outDir", join(root, "dist"), "--sourceMap", "false", "--noCheck"];
  await run(tsc, args, { cwd: source }).catch(() => {});
  for (const each of ["drizzle", "contracts", "package.json"]) {
    await cp(join(source, each), join(root, each), { recursive: true });
  }
  await symlink(join(CHECKOUT, "node_modules"), join(root, "node_modules"));
  return root;
}

/** Whether this clone knows the revision; a shallow one, or an archive, may not. */
export async function hasRevision(revision: string): Promise<boolean> {
  const found = run("git", ["cat-file", "-e", `${revision}^{commit}`], { cwd: CHECKOUT });
  return found.then(
    () => true,
    () => false,
  );
}

/** Compiles the service as it stood then, against the packages of now. */
export async function buildRevision(revision: string): Promise<string> {
  const source = await mkdtemp(join(tmpdir(), "pocketwatch-revision-"));
  onOurEnd('rm -rf -- "$1"', [source]);
  const archive = join(source, "revision.tar");
  await run("git", ["archive", "--output", archive, revision], { cwd: CHECKOUT });
  await run("tar", ["-xf", archive, "-C", source]);
  await symlink(join(CHECKOUT, "node_modules"), join(source, "node_modules"));
  return buildService(source);
}
