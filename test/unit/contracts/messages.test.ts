import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { findDrift, generateSchemas } from "../../../src/contracts/generate.ts";
import { COMMANDS, type MessageType, messages, schemaAddress, schemaName } from "../../../src/contracts/messages.ts";
import { check, type Parsed, parseCommand, parseEnvelope, parseMessage } from "../../../src/contracts/parse.ts";
import { runTrigger } from "../../../src/contracts/run-trigger.ts";

const contracts = fileURLToPath(new URL("../../../contracts", import.meta.url));
const examples = join(contracts, "examples");

interface InvalidExample {
  why: string;
  field: string;
  message: unknown;
}

// What a consumer in any language has: the published files and a JSON Schema validator.
const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true, allowUnionTypes: true });
addFormats.default(ajv);
for (const content of generateSchemas().values()) ajv.addSchema(JSON.parse(content));

/** A whole message: the envelope, the type, and the type's data. */
function wholeMessage(name: string) {
  const type = Object.keys(messages).find((candidate) => schemaName(candidate as MessageType) === name);
  return ajv.compile({
    allOf: [{ $ref: schemaAddress("cloud-event.v1") }],
    properties: { data: { $ref: schemaAddress(name) }, ...(type ? { type: { const: type } } : {}) },
  });
}

/** The same through the service's own code. */
function parse(name: string, body: Buffer): Parsed<unknown> {
  const type = Object.keys(messages).find((candidate) => schemaName(candidate as MessageType) === name);
  if (type) return parseMessage(type as MessageType, body);
  const envelope = parseEnvelope(body);
  return envelope.ok ? check(runTrigger, envelope.value.data, "data") : envelope;
}

function files(name: string, kind: "valid" | "invalid"): { file: string; text: string }[] {
  const folder = join(examples, name, kind);
  return readdirSync(folder).map((file) => ({ file, text: readFileSync(join(folder, file), "utf8") }));
}

test("every message has examples, valid and invalid", () => {
  const names = [...Object.keys(messages).map((type) => schemaName(type as MessageType)), "run-trigger.v1"];
  expect(readdirSync(examples).sort()).toEqual(names.sort());
  for (const name of names) {
    for (const kind of ["valid", "invalid"])
      expect(existsSync(join(examples, name, kind)), `${name} ${kind}`).toBe(true);
  }
});

describe.each(readdirSync(examples))("%s", (name) => {
  const validate = wholeMessage(name);

  test.each(files(name, "valid"))("takes $file", ({ text }) => {
    expect(parse(name, Buffer.from(text))).toMatchObject({ ok: true });
    expect(validate(JSON.parse(text)) || validate.errors).toBe(true);
  });

  test.each(files(name, "invalid"))("refuses $file", ({ text }) => {
    const { why, field, message } = JSON.parse(text) as InvalidExample;
    expect(why).not.toBe("");
    const parsed = parse(name, Buffer.from(JSON.stringify(message)));
    expect(parsed.ok ? [] : parsed.errors.map((error) => error.field)).toContain(field);
    expect(validate(message)).toBe(false);
  });
});

describe("what no JSON file can show", () => {
  const status = { run_id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e", attempt: 1, sequence: 1, status: "completed" };
  const message = (data: string) =>
    Buffer.from(`{"specversion":"1.0","id":"1","type":"run.status.v1","source":"/t","data":${data}}`);
  const withResult = (result: string) => message(`${JSON.stringify(status).slice(0, -1)},"result":${result}}`);

  test.each([
    ["not JSON", Buffer.from("{"), "body: expected JSON"],
    ["nothing", Buffer.alloc(0), "body: expected JSON"],
    ["not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "body: expected UTF-8 text"],
    ["null", Buffer.from("null"), "body: Invalid input: expected object, received null"],
    ["a number beyond double", withResult("1e999"), "data.result: must be a finite number"],
    ["half a surrogate pair", withResult('"\\ud83d"'), "data.result: must be well-formed Unicode"],
    ["deep nesting", withResult(`${"[".repeat(100)}${"]".repeat(100)}`), "must not be nested deeper than 64 levels"],
    ["very deep nesting", withResult(`${"[".repeat(200_000)}${"]".repeat(200_000)}`), "must not be nested deeper"],
  ])("%s is refused in words", (_, body, reason) => {
    const parsed = parseMessage("run.status.v1", body);
    expect(parsed.ok ? "" : parsed.reason).toContain(reason);
  });

  test("lengths are counted in characters, as Postgres and JSON Schema do", () => {
    const emoji = (count: number) =>
      parseMessage("run.status.v1", message(JSON.stringify({ ...status, message: "😀".repeat(count) })));
    expect(emoji(10_000).ok).toBe(true);
    expect(emoji(10_001).ok).toBe(false);
  });

  test("a run's id is compared in lower case", () => {
    const parsed = parseMessage(
      "run.status.v1",
      message(JSON.stringify({ ...status, run_id: status.run_id.toUpperCase() })),
    );
    expect(parsed.ok && parsed.value.data.run_id).toBe(status.run_id);
  });

  test("a name that is __proto__ does no harm", () => {
    const parsed = parseMessage("run.status.v1", withResult('{"__proto__":{"polluted":true}}'));
    expect(parsed.ok).toBe(true);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

test("a command is told apart by its type", () => {
  const command = (type: string, data: unknown) =>
    parseCommand(Buffer.from(JSON.stringify({ specversion: "1.0", id: "1", source: "/t", type, data })));
  expect(command("run.cancel.v1", { run_id: "0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e" })).toMatchObject({
    ok: true,
    value: { type: "run.cancel.v1", source: "/t", id: "1" },
  });
  const unknown = command("run.cancel.v2", {});
  expect(unknown.ok ? "" : unknown.reason).toBe(`type: expected ${COMMANDS.join(" or ")}, found "run.cancel.v2"`);
});

test("the published schemas are those of the code", async () => {
  expect(await findDrift(contracts)).toEqual([]);
});
