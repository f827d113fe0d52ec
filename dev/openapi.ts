import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { pino } from "pino";
import { print } from "../src/contracts/generate.ts";
import type { Api } from "../src/http/api.ts";
import { buildServer } from "../src/http/server.ts";
import { createMetrics } from "../src/runtime/metrics.ts";

/*
 * The HTTP API as a file, for those who generate clients from it: docs/openapi.json is what a running service answers at
 * /openapi.json. `tsx dev/openapi.ts [--check]`: `--check` writes nothing, and fails where the file is not what the routes
 * say, or the document breaks a rule of the linter.
 */
const FILE = fileURLToPath(new URL("../docs/openapi.json", import.meta.url));
const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

async function openApi(): Promise<string> {
  // Nothing is asked of it: only the routes are looked at.
  const api = {} as Api;
  const readiness = async () => ({ database: true, broker: true, migrations: true });
  const logger = pino({ level: "silent" });
  const server = await buildServer({ api, readiness, logger, metrics: createMetrics(), version });
  const document = (await server.inject("/openapi.json")).json();
  await server.close();
  return `${print(document, "")}\n`;
}

/** What the linter has to say, a line each. */
async function lint(source: string): Promise<string[]> {
  const config = await createConfig({
    extends: ["recommended-strict"],
    rules: {
      // One error for all operations, as problem details, is described as their default.
      "operation-4xx-response": "off",
      // Relative, because the service does not know where it is reached.
      "no-server-example.com": "off",
      "info-license-strict": "off",
    },
  });
  const problems = await lintFromString({ source, absoluteRef: FILE, config });
  return problems.map(({ ruleId, message, location }) => `${location[0]?.pointer ?? "#/"} ${ruleId}: ${message}`);
}

const document = await openApi();
const complaints = await lint(document);
for (const complaint of complaints) console.error(complaint);
if (!process.argv.includes("--check")) {
  await writeFile(FILE, document);
} else if ((await readFile(FILE, "utf8").catch(() => "")) !== document) {
  complaints.push("drift");
  console.error("docs/openapi.json is not what src/http says; run npm run generate");
}
process.exitCode = complaints.length > 0 ? 1 : 0;
