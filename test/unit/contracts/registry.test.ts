import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadActions, noActions } from "../../../src/contracts/action-registry.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "contracts-"));
  await mkdir(join(directory, "actions"));
});
afterEach(() => rm(directory, { recursive: true }));

const numbers = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  required: ["count"],
  additionalProperties: false,
  properties: { count: { type: "integer", minimum: 1 } },
};

async function put(action: string, files: Record<string, unknown>): Promise<void> {
  const folder = join(directory, "actions", action);
  await mkdir(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(folder, file), typeof content === "string" ? content : JSON.stringify(content));
  }
}

const good = (name: string) => ({ "action.json": { name, versions: [1] }, "v1.schema.json": numbers });

describe("loading", () => {
  test("an action has what its file says, and defaults for the rest", async () => {
    await put("report.send", good("report.send"));
    await put("report.print", {
      "action.json": {
        name: "report.print",
        title: "Print",
        versions: [10, 2],
        exchange: "reports",
        routing_key: "print.{version}",
        queue: { type: "classic", max_priority: 5 },
        pool: "printers",
        breaker: { key: "/printer", threshold: 3, cooldown_seconds: 60 },
        defaults: { timeout_seconds: 10, overlap: "allow", priority: "low" },
      },
      "v2.schema.json": numbers,
      "v10.schema.json": { type: "object" },
    });
    const registry = await loadActions(directory);
    expect(registry.problems).toEqual([]);
    expect(registry.list().map((action) => [action.name, action.version])).toEqual([
      ["report.print", 2],
      ["report.print", 10],
      ["report.send", 1],
    ]);
    expect(registry.find("report.print")).toMatchObject({
      version: 10,
      title: "Print",
      description: null,
      exchange: "reports",
      routing_key: "print.10",
      queue: { type: "classic", max_priority: 5 },
      pool: "printers",
      breaker: { key: "/printer", threshold: 3, cooldown_seconds: 60 },
      defaults: { timeout_seconds: 10, overlap: "allow", priority: "low" },
    });
    expect(registry.find("report.send", 1)).toMatchObject({
      exchange: null,
      routing_key: "report.send.v1",
      queue: { type: "quorum" },
      pool: null,
      breaker: null,
      defaults: {},
      schema: numbers,
    });
    expect(registry.find("report.send", 2)).toBeUndefined();
    expect(registry.find("nothing")).toBeUndefined();
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["not JSON", { "action.json": "{" }, "action.json: not valid JSON"],
    ["no action.json", { "v1.schema.json": numbers }, "action.json: cannot be read (ENOENT)"],
    ["no schema", { "action.json": { name: "bad", versions: [1] } }, "v1.schema.json: cannot be read (ENOENT)"],
    ["schema not JSON", { ...good("bad"), "v1.schema.json": "nope" }, "v1.schema.json: not valid JSON"],
    [
      "schema not an object",
      { ...good("bad"), "v1.schema.json": "3" },
      "v1.schema.json: expected a JSON Schema object",
    ],
    ["keyword misspelt", { ...good("bad"), "v1.schema.json": { requred: [] } }, 'unknown keyword: "requred"'],
    ["schema invalid", { ...good("bad"), "v1.schema.json": { type: "text" } }, "v1.schema.json: schema is invalid"],
    ["format unknown", { ...good("bad"), "v1.schema.json": { format: "color" } }, 'unknown format "color"'],
    ["name of another", good("other"), "action.json: name: expected the folder's name, bad, found other"],
    ["versions missing", { "action.json": { name: "bad" } }, "action.json: versions: is required"],
    ["version twice", { "action.json": { name: "bad", versions: [1, 1] } }, "must not name a version twice"],
    ["field unknown", { "action.json": { name: "bad", versions: [1], colour: 1 } }, "colour: unknown field"],
    [
      "policy unknown",
      { "action.json": { name: "bad", versions: [1], defaults: { timeout: 1 } } },
      "defaults.timeout: unknown field",
    ],
    [
      "routing key shared by versions",
      { "action.json": { name: "bad", versions: [1, 2], routing_key: "x" } },
      "routing_key: must contain {version}",
    ],
    [
      "routing key with a wildcard",
      { "action.json": { name: "bad", versions: [1], routing_key: "x.#" } },
      "routing_key: must be a plain routing key",
    ],
    [
      "breaker key",
      { "action.json": { name: "bad", versions: [1], breaker: { key: "host", threshold: 1 } } },
      "breaker.key",
    ],
  ])("%s is a problem in words, and other actions go on", async (_, files, message) => {
    await put("bad", files);
    await put("good", good("good"));
    const registry = await loadActions(directory);
    expect(registry.list().map((action) => action.name)).toEqual(["good"]);
    expect(registry.problems).toEqual([{ action: "bad", message: expect.stringContaining(message) }]);
  });

  test.each(["Bad", "9lives", "a..b", "a_b", `a${"b".repeat(128)}`])("a folder named %s is a problem", async (name) => {
    await put(name, good(name));
    const registry = await loadActions(directory);
    expect(registry.list()).toEqual([]);
    expect(registry.problems[0]?.message).toContain("action.json: name: ");
  });

  test("two actions with one route would get each other's triggers", async () => {
    const route = { exchange: "shared", routing_key: "same" };
    await put("first", { ...good("first"), "action.json": { name: "first", versions: [1], ...route } });
    await put("second", { ...good("second"), "action.json": { name: "second", versions: [1], ...route } });
    const registry = await loadActions(directory);
    expect(registry.list().map((action) => action.name)).toEqual(["first"]);
    expect(registry.problems).toEqual([
      { action: "second", message: "action.json: routing_key: same is that of first v1 already" },
    ]);
  });

  test("a contract that has become broken keeps its entry, one that is gone does not", async () => {
    await put("kept", good("kept"));
    await put("gone", good("gone"));
    const before = await loadActions(directory, noActions);
    await put("kept", { "v1.schema.json": "{" });
    await rm(join(directory, "actions", "gone"), { recursive: true });
    const after = await loadActions(directory, before);
    expect(after.list()).toEqual([before.find("kept")]);
    expect(after.problems).toEqual([
      { action: "kept", message: expect.stringContaining("the previous contract stays") },
    ]);
    expect(before.list()).toHaveLength(2);
    await put("kept", good("kept"));
    expect((await loadActions(directory, after)).problems).toEqual([]);
  });

  test("a directory that cannot be read rejects", async () => {
    await expect(loadActions(join(directory, "nowhere"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("the contracts of the repository are sound", async () => {
    const registry = await loadActions(fileURLToPath(new URL("../../../contracts", import.meta.url)));
    expect(registry.problems).toEqual([]);
    expect(registry.find("scout.trigger", 1)).toBeDefined();
  });
});

describe("a payload's errors say where, what was expected and what was found", () => {
  const schema = {
    type: "object",
    required: ["source"],
    additionalProperties: false,
    properties: {
      source: { type: "string", minLength: 1, maxLength: 5, pattern: "^[a-z]+$" },
      mode: { enum: ["fast", "slow"] },
      kind: { const: "x" },
      depth: { type: "integer", minimum: 1, exclusiveMaximum: 10, multipleOf: 2 },
      tags: { type: "array", minItems: 1, maxItems: 2, uniqueItems: true, items: { type: "string" } },
      managers: { type: "object", minProperties: 1, additionalProperties: { type: "object", required: ["profile"] } },
      at: { type: "string", format: "date-time" },
      host: { type: ["string", "null"], format: "hostname" },
      either: { oneOf: [{ type: "string" }, { type: "number" }] },
      name: { type: "object", propertyNames: { pattern: "^[a-z]+$" } },
      when: { type: "object", dependentRequired: { from: ["to"] } },
    },
  };

  test.each<[unknown, string, string]>([
    [{}, "payload.source", "is required"],
    [[], "payload", "expected object, found []"],
    [{ source: 5 }, "payload.source", "expected string, found 5"],
    [{ source: "" }, "payload.source", 'expected at least 1 character, found ""'],
    [{ source: "abcdef" }, "payload.source", 'expected at most 5 characters, found "abcdef"'],
    [{ source: "A" }, "payload.source", 'expected text that matches ^[a-z]+$, found "A"'],
    [{ source: "a", sorce: "b" }, "payload.sorce", "unknown field"],
    [{ source: "a", mode: "quick" }, "payload.mode", 'expected one of "fast", "slow", found "quick"'],
    [{ source: "a", kind: 1 }, "payload.kind", 'expected "x", found 1'],
    [{ source: "a", depth: 0 }, "payload.depth", "expected at least 1, found 0"],
    [{ source: "a", depth: 10 }, "payload.depth", "expected less than 10, found 10"],
    [{ source: "a", depth: 3 }, "payload.depth", "expected a multiple of 2, found 3"],
    [{ source: "a", tags: [] }, "payload.tags", "expected at least 1 item, found []"],
    [{ source: "a", tags: ["x", "x"] }, "payload.tags", "items 0 and 1 are the same"],
    [{ source: "a", tags: ["x", 1] }, "payload.tags.1", "expected string, found 1"],
    [{ source: "a", managers: {} }, "payload.managers", "expected at least 1 field, found {}"],
    [{ source: "a", managers: { "bmc/1": {} } }, "payload.managers.bmc/1.profile", "is required"],
    [{ source: "a", at: "2026-11-21T07:00" }, "payload.at", 'expected date-time, found "2026-11-21T07:00"'],
    [{ source: "a", host: "-x" }, "payload.host", 'expected hostname, found "-x"'],
    [{ source: "a", host: 1 }, "payload.host", "expected string or null, found 1"],
    [{ source: "a", either: true }, "payload.either", "matches none or too many of the allowed forms"],
    [{ source: "a", name: { A: 1 } }, "payload.name.A", "is not an allowed field name"],
    [{ source: "a", when: { from: 1 } }, "payload.when.to", "is required beside from"],
    [{ source: "a\0" }, "payload.source", "must not contain the character \\u0000"],
    [{ source: "a", tags: [Number.POSITIVE_INFINITY] }, "payload.tags.0", "must be a finite number"],
  ])("%j", async (payload, field, message) => {
    await put("it", { ...good("it"), "v1.schema.json": schema });
    const registry = await loadActions(directory);
    expect(registry.problems).toEqual([]);
    expect(registry.find("it")?.validatePayload(payload)).toContainEqual({ field, message });
  });

  test("all of them at once, and none when it is right", async () => {
    await put("it", { ...good("it"), "v1.schema.json": schema });
    const action = (await loadActions(directory)).find("it");
    expect(action?.validatePayload({ mode: 1, depth: 0 }).map((error) => error.field)).toEqual([
      "payload.source",
      "payload.mode",
      "payload.depth",
    ]);
    expect(action?.validatePayload({ source: "a", host: null, at: "2026-11-21T07:00:00Z" })).toEqual([]);
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`f${index}`, 1]));
    expect(action?.validatePayload({ source: "a", ...many })).toHaveLength(20);
  });
});
