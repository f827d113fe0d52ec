import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { published, schemaAddress } from "./messages.ts";

/** Any JSON value that Postgres can store, as far as JSON Schema can say it. zod only has a function for it. */
const JSON_VALUE = {
  description: "Any JSON value without the character U+0000, at most 64 levels deep",
  anyOf: [
    { type: ["null", "boolean", "number"] },
    { type: "string", pattern: "^[^\\x00]*$" },
    { type: "array", items: { $ref: "#/$defs/json" } },
    {
      type: "object",
      propertyNames: { pattern: "^[^\\x00]*$" },
      additionalProperties: { $ref: "#/$defs/json" },
    },
  ],
};

/** The published JSON Schema files: name → content. The same for the same schemas, byte for byte. */
export function generateSchemas(): Map<string, string> {
  return new Map(
    Object.entries(published).map(([name, schema]) => [
      `${name}.schema.json`,
      `${print(jsonSchema(name, schema), "")}\n`,
    ]),
  );
}

function jsonSchema(name: string, schema: z.ZodType): Json {
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    target: "draft-2020-12",
    io: "input",
    override({ jsonSchema }) {
      // An open object says so by saying nothing.
      if (isEmpty(jsonSchema.additionalProperties)) delete jsonSchema.additionalProperties;
    },
  });
  const $defs = rest.$defs?.json ? { $defs: { ...rest.$defs, json: JSON_VALUE } } : {};
  return { $schema, $id: schemaAddress(name), title: name, ...rest, ...$defs } as unknown as Json;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** The files in `directory` that are not what the schemas say: missing, outdated, or nobody's. */
export async function findDrift(directory: string): Promise<string[]> {
  const expected = generateSchemas();
  const present = (await readdir(directory)).filter((file) => file.endsWith(".schema.json"));
  const drifted = present.filter((file) => !expected.has(file));
  for (const [file, content] of expected) {
    const found = present.includes(file) ? await readFile(join(directory, file), "utf8") : null;
    if (found !== content) drifted.push(file);
  }
  return drifted.sort();
}

/** Writes the files into `directory`. */
export async function writeSchemas(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [file, content] of generateSchemas()) await writeFile(join(directory, file), content);
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const LINE_WIDTH = 120;

/** JSON as Biome formats it: objects on several lines, arrays on one where they fit. */
export function print(value: Json, indent: string, before = 0): string {
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== "object" || item === null)) {
      const line = `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
      if (indent.length + before + line.length + 1 <= LINE_WIDTH) return line;
    }
    return `[\n${value.map((item) => inner + print(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  if (fields.length === 0) return "{}";
  const lines = fields.map(([name, field]) => {
    const key = `${JSON.stringify(name)}: `;
    return inner + key + print(field, inner, key.length);
  });
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

// `tsx src/contracts/generate.ts [--check]`
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const directory = fileURLToPath(new URL("../../contracts", import.meta.url));
  if (process.argv.includes("--check")) {
    const drifted = await findDrift(directory);
    for (const file of drifted) console.error(`contracts/${file} is not what src/contracts says; run npm run generate`);
    process.exitCode = drifted.length > 0 ? 1 : 0;
  } else {
    await writeSchemas(directory);
  }
}
