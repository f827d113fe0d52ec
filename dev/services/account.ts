import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CannotStart } from "./service.ts";

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Postgres refuses to run as root, so root has to lend it to somebody: to whoever owns the checkout, else to the
 * machine's `postgres` user, else to `nobody`, who exists everywhere. No account is created for a private server.
 * Null where we are an ordinary user already.
 */
export async function accountForPostgres(checkout: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const owner = await stat(checkout);
  if (owner.uid !== 0 && (await accounts()).some((account) => account.uid === owner.uid)) return owner;
  for (const name of ["postgres", "nobody"]) {
    const account = (await accounts()).find((each) => each.name === name);
    if (account !== undefined && account.uid !== 0) return account;
  }
  throw new CannotStart(
    "Postgres does not run as root, and this machine has no user `postgres` or `nobody` to run it as.",
  );
}

/** initdb wants the account to have a name, hence only users that the machine knows. */
async function accounts(): Promise<(Account & { name: string })[]> {
  const lines = (await readFile("/etc/passwd", "utf8").catch(() => "")).split("\n");
  return lines.flatMap((line) => {
    const [name, , uid, gid] = line.split(":");
    return name === undefined || gid === undefined ? [] : [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

/** The first folder on the way to `path` that the account may not pass through; null if it may go all the way. */
export async function firstClosedFolder(path: string, account: Account): Promise<string | null> {
  const folders = [path];
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) folders.unshift(dirname(folder));
  for (const folder of folders) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return folder;
  }
  return null;
}
