import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { readClientConfig, readPreferences } from "../config.ts";
import { systemClock } from "../runtime/clock.ts";
import { CommandFailed, EXIT } from "./failures.ts";
import type { EditedText, Output, Surroundings } from "./surroundings.ts";

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

/** The surroundings of a real process. */
export function systemSurroundings(start: Pick<Surroundings, "serve" | "migrate">): Surroundings {
  // `pocketwatch runs list | head`: nobody reads on, which is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    throw error;
  });
  const { editor, plain } = readPreferences();
  return {
    config: readClientConfig,
    fetch,
    clock: systemClock,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC",
    version,
    out: output(process.stdout, plain),
    err: output(process.stderr, plain),
    readInput: () => text(process.stdin),
    readFile: (path) => readFile(path, "utf8"),
    writeFile: (path, content) => writeFile(path, content),
    edit: process.stdin.isTTY && process.stdout.isTTY ? (content) => edit(editor, content) : null,
    ...start,
  };
}

function output(stream: NodeJS.WriteStream, plain: boolean): Output {
  return {
    write: (content) => void stream.write(content),
    columns: stream.isTTY ? stream.columns : null,
    colour: stream.isTTY === true && !plain,
  };
}

async function edit(editor: string, content: string): Promise<EditedText> {
  // A directory that only its owner can read: payloads are not for everybody on this machine.
  const directory = await mkdtemp(join(tmpdir(), "pocketwatch-edit-"));
  const file = join(directory, "schedule.yaml");
  await writeFile(file, content, { mode: 0o600 });
  // Through a shell, because EDITOR may hold arguments ("code --wait"); the path is handed over as one.
  const child = spawn("sh", ["-c", `${editor} "$1"`, "sh", file], { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) {
    await rm(directory, { recursive: true });
    throw new CommandFailed(EXIT.failed, `${editor} ended with ${code}; nothing was changed`);
  }
  return { text: await readFile(file, "utf8"), file, discard: () => rm(directory, { recursive: true }) };
}
