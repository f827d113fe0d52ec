import { accessSync, constants } from "node:fs";

/** PEM files for `amqps://`. They are read at every connect, so that renewed ones count without a restart. */
export interface TlsFiles {
  /** Who may have signed the broker's certificate; null: the authorities that Node knows. */
  readonly ca: string | null;
  /** By which the service proves who it is; null: by its password alone. */
  readonly client: { readonly cert: string; readonly key: string } | null;
}

/** Why the file cannot be used; null: it can. */
export function unreadable(file: string): string | null {
  try {
    accessSync(file, constants.R_OK);
    return null;
  } catch (error) {
    return `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`;
  }
}

const MODES = ["disable", "require", "verify-ca", "verify-full"];
const FILES = ["sslrootcert", "sslcert", "sslkey"];

/** What is wrong with the TLS parameters of a Postgres URL, in words that repeat nothing else of it; null: nothing. */
export function postgresTlsProblem(url: string): string | null {
  const { searchParams } = new URL(url);
  const mode = searchParams.get("sslmode");
  const files = FILES.filter((name) => searchParams.has(name));
  // `allow` and `prefer` fall back to no TLS whenever somebody in between wants it.
  if (mode !== null && !MODES.includes(mode)) return `sslmode must be one of ${MODES.join(", ")}`;
  if (mode === null && files.length > 0) return `${files[0]} needs an sslmode: verify-full, say`;
  if (mode === "verify-ca" && !files.includes("sslrootcert")) return "sslmode=verify-ca needs sslrootcert";
  if (files.includes("sslcert") !== files.includes("sslkey")) return "sslcert and sslkey go together";
  for (const name of files) {
    const problem = unreadable(searchParams.get(name)!);
    if (problem !== null) return `${name}: ${problem}`;
  }
  return null;
}

/** The same URL, with `sslmode` meaning to node-postgres what it means to libpq and so to psql. */
export function withLibpqModes(url: string): string {
  const address = new URL(url);
  if (!address.searchParams.has("sslmode")) return url;
  address.searchParams.set("uselibpqcompat", "true");
  return address.href;
}
