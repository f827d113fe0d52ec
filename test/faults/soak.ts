import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

/* `npm run soak -- --minutes 10`: random faults of the table, one after another, and the same verdict. */

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
if (!(minutes >= 1)) throw new Error("--minutes: expected a number of minutes from 1");
const { status } = spawnSync("node_modules/.bin/vitest", ["run", "--project", "faults", "test/faults/soak.test.ts"], {
  stdio: "inherit",
  env: { ...process.env, FAULTS: "all", SOAK_MINUTES: String(minutes) },
});
process.exitCode = status ?? 1;
