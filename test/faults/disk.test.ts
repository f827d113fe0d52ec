import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../../dev/services/postgres.ts";
import { migrate } from "../../src/database/migrate.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { Servers } from "./servers.ts";

/* 10. Postgres without room on its disk: a small file system of its own, filled by somebody else. */

const MEGABYTES = 400;

const disk = makeDisk();
if (typeof disk === "string") console.log(`Skipped: 10, Postgres out of disk (no loopback file system here: ${disk}).`);
else {
  scenario({
    name: "10 Postgres out of disk for 10 s",
    seconds: 16,
    settle_seconds: 90,
    plan: MIXED,
    servers: (shared) => onDisk(shared, disk.directory),
    async fault(world) {
      const ballast = join(disk.directory, "ballast");
      await world.at(3);
      // Until the disk is full, and every time it has found some more room.
      for (let at = 3; at < 13; at += 0.5) {
        await world.at(at);
        await writeFile(`${ballast}-${at}`, Buffer.alloc(MEGABYTES * 1024 * 1024)).catch(() => {});
      }
      for (let at = 3; at < 13; at += 0.5) await rm(`${ballast}-${at}`, { force: true });
    },
    async check(world) {
      const complaints = world.instances.flatMap(({ log }) =>
        log.filter((line) => JSON.stringify(line).includes("53100")),
      );
      if (complaints.length === 0) throw new Error("Postgres never ran out of disk");
      disk.remove();
    },
  });
}

async function onDisk(shared: Servers, directory: string): Promise<Servers> {
  const postgres = await startPostgres({ directory: join(directory, "postgres"), settings: { max_wal_size: "64MB" } });
  return {
    ...shared,
    postgres,
    async createDatabase() {
      await migrate(postgres.url);
      return { url: postgres.url, drop: () => postgres.remove() };
    },
  };
}

/** A mounted file system, or why there is none. */
function makeDisk(): { directory: string; remove(): void } | string {
  const home = mkdtempSync(join(tmpdir(), "pocketwatch-disk-"));
  const [image, directory] = [join(home, "image"), join(home, "mounted")];
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "pipe" });
  try {
    chmodSync(home, 0o755);
    run("mkdir", directory);
    run("truncate", "-s", `${MEGABYTES}M`, image);
    run("mkfs.ext4", "-q", "-F", "-m", "0", image);
    run("mount", "-o", "loop", image, directory);
    chmodSync(directory, 0o755);
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    return (error as Error).message.split("\n")[0]!;
  }
  return {
    directory,
    remove() {
      try {
        run("umount", "-l", directory);
      } finally {
        rmSync(home, { recursive: true, force: true });
      }
    },
  };
}
