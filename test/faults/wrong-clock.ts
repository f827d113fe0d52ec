import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

export const hasFaketime = existsSync(FAKETIME);
if (!hasFaketime) console.log(`Skipped: clocks that are wrong (no ${FAKETIME}; Debian's package is faketime).`);

/** The wall clock of a process lies; durations stay true, as they do when a clock is set. */
export const wrongClock = (more: Record<string, string>) => ({
  LD_PRELOAD: FAKETIME,
  DONT_FAKE_MONOTONIC: "1",
  ...more,
});

/** A clock that can be set while processes go by it. */
export interface SteppingClock {
  /** For the processes that are to go by it. */
  readonly environment: Readonly<Record<string, string>>;
  /** How far it is off from now on: `+2h`, `-3`. */
  set(offset: string): void;
}

/** For the scenarios of the file that asks for it. */
export function steppingClock(): SteppingClock {
  const directory = mkdtempSync(join(tmpdir(), "pocketwatch-clock-"));
  chmodSync(directory, 0o755); // the account that root lends Postgres to reads it as well
  const file = join(directory, "offset");
  // At once: half a file would be another time.
  const set = (offset: string) => {
    writeFileSync(`${file}.new`, offset);
    renameSync(`${file}.new`, file);
  };
  set("+0");
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return {
    environment: wrongClock({ FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: "1" }),
    set,
  };
}
