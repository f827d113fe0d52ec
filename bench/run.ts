import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { appendFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Line, printTable } from "./support/report.ts";

/*
 * `npm run bench` runs every benchmark of this folder, `npm run bench -- <name> [arguments]` one. Each runs in a process of
 * its own, prints a line of JSON per figure and starts what it needs; at the end all figures stand in one table.
 * `--json <file>` appends the lines to a file. Ends with 1 where a limit is missed or a benchmark fails.
 */
const folder = fileURLToPath(new URL(".", import.meta.url));
const known = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && file !== "run.ts")
  .map((file) => file.slice(0, -".ts".length))
  .sort();

const args = process.argv.slice(2);
const at = args.indexOf("--json");
const [, file] = at < 0 ? [] : args.splice(at, 2);
const [name, ...others] = args;
if (name !== undefined && !known.includes(name)) {
  console.error(`there is no benchmark ${JSON.stringify(name)}; there are ${known.join(", ")}`);
  process.exit(2);
}

const lines: Line[] = [];
for (const each of name === undefined ? known : [name]) {
  console.error(`\n${each} ${others.join(" ")}`);
  await run(each, others);
}
console.log();
printTable(lines);
if (file !== undefined) await appendFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

async function run(benchmark: string, parameters: readonly string[]): Promise<void> {
  const script = `${folder}${benchmark}.ts`;
  const child = spawn(process.execPath, ["--import", "tsx", script, ...parameters], {
    stdio: ["inherit", "pipe", "inherit"],
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    console.log(line);
    const read = figureOf(line);
    if (read !== null) lines.push(read);
  }
  if ((await ended) !== 0) process.exitCode = 1;
}

/** The figure in a line of output, if it is one. */
function figureOf(line: string): Line | null {
  if (!line.startsWith('{"benchmark"')) return null;
  const read = JSON.parse(line) as Partial<Line>;
  return read.figure === undefined ? null : (read as Line);
}
