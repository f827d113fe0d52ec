import { parse, YAMLParseError } from "yaml";
import { wrongUsage } from "./failures.ts";
import { inline } from "./printable.ts";
import type { Session } from "./session.ts";

/** `{"a": 1}`, or `@file` with JSON or YAML, or `@-` for standard input. */
export async function parsePayload(session: Session, text: string): Promise<unknown> {
  if (text.startsWith("@")) return readDocument(session, text.slice(1));
  try {
    return JSON.parse(text);
  } catch {
    throw wrongUsage("--payload: expected JSON, or @ and the name of a file that holds it");
  }
}

/** A file with YAML, of which JSON is a part; `-` is standard input. */
export async function readDocument(session: Session, path: string): Promise<unknown> {
  const { around } = session;
  const shown = path === "-" ? "standard input" : inline(path);
  const text = await (path === "-" ? around.readInput() : around.readFile(path)).catch((error) => {
    const { code, message } = error as NodeJS.ErrnoException;
    throw wrongUsage(`${shown} cannot be read: ${code === "ENOENT" ? "there is no such file" : (code ?? message)}`);
  });
  return parseYaml(text, shown);
}

export function parseYaml(text: string, shown: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    // Both kinds of the library's errors are about the text; the first says where, with an excerpt.
    if (error instanceof YAMLParseError || error instanceof ReferenceError) {
      throw wrongUsage(`${shown} is not valid YAML: ${error.message.trimEnd()}`);
    }
    throw error;
  }
}
