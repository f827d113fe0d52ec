import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";

// The contracts as a consumer team reads them, checked with nothing of Pocketwatch's own code in between.
const actionsDir = fileURLToPath(new URL("../../../contracts/actions/", import.meta.url));

interface Action {
  name: string;
  title: string;
  description: string;
  versions: number[];
  queue?: { type: string; max_priority?: number };
  breaker?: { key: string; threshold: number; cooldown_seconds: number };
  defaults?: Record<string, unknown>;
}

interface InvalidExample {
  why: string;
  field: string;
  payload: unknown;
}

interface PayloadSchema {
  $schema: string;
  $id: string;
  title: string;
  description: string;
  examples: unknown[];
}

const SOURCES_ACTIONS = [
  "bmc.patch-fan-controller",
  "bmc.patch-fan-zone",
  "bmc.patch-manager",
  "bmc.patch-pid-controller",
  "bmc.patch-profile",
  "crawl.run",
  "monitor.cycle",
  "scan.run",
  "scout.trigger",
  "snapshot.upload",
  "upload.monitor",
];

const ACTION_KEYS = [
  "$schema",
  "name",
  "title",
  "description",
  "versions",
  "exchange",
  "routing_key",
  "queue",
  "pool",
  "breaker",
  "defaults",
];

const DEFAULT_KEYS = [
  "priority",
  "max_attempts",
  "retry_backoff_seconds",
  "retry_backoff_multiplier",
  "retry_backoff_max_seconds",
  "timeout_seconds",
  "heartbeat_seconds",
  "start_deadline_seconds",
  "overlap",
];

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(actionsDir + path, "utf8")) as T;
}

function list(path: string): string[] {
  return readdirSync(actionsDir + path).sort();
}

/** Every schema anew, and as strictly as ajv can be: an unknown keyword or a type left open is an error. */
function compile(schema: object): ValidateFunction {
  return new Ajv2020({ strict: true, strictTypes: true, strictTuples: true, allErrors: true }).compile(schema);
}

/** The rule of contracts/README.md: a missing or unknown property, and a bad key, is at fault itself. */
function fieldAtFault({ instancePath, params, propertyName }: ErrorObject): string {
  const path = instancePath.split("/").slice(1);
  const own = params.missingProperty ?? params.additionalProperty ?? params.propertyName ?? propertyName;
  return ["payload", ...path, ...(own === undefined ? [] : [own])].join(".");
}

const actions = list("").filter((name) => name !== "README.md");

test("every action of the five source systems has its contract", () => {
  expect(actions).toEqual(expect.arrayContaining(SOURCES_ACTIONS));
});

describe.each(actions)("%s", (name) => {
  const action = readJson<Action>(`${name}/action.json`);

  test("its action.json agrees with its folder", () => {
    expect(action.name).toBe(name);
    expect(name).toMatch(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/);
    expect(action.title).not.toBe("");
    expect(action.description).not.toBe("");
    expect(Object.keys(action).filter((key) => !ACTION_KEYS.includes(key))).toEqual([]);

    const schemas = list(name).filter((file) => file.endsWith(".schema.json"));
    expect(schemas).toEqual(action.versions.map((version) => `v${version}.schema.json`).sort());
    expect(list(`${name}/examples`)).toEqual(action.versions.map((version) => `v${version}`).sort());
  });

  test("its defaults are among those a schedule has, and in range", () => {
    const { overlap, priority, ...numbers } = action.defaults ?? {};
    expect([undefined, "allow", "skip", "buffer_one", "buffer_all", "cancel_previous"]).toContain(overlap);
    expect([undefined, "high", "normal", "low"]).toContain(priority);
    for (const [key, value] of Object.entries(numbers)) {
      expect(DEFAULT_KEYS).toContain(key);
      expect(value, key).toBeGreaterThan(0);
    }
    // A heartbeat that is due only after the run has timed out guards nothing.
    const { heartbeat_seconds: heartbeat, timeout_seconds: timeout } = numbers;
    if (heartbeat !== undefined) expect(heartbeat).toBeLessThan(Number(timeout));
  });

  test("its queue is of a kind that RabbitMQ 3.10 and 4 both know", () => {
    if (action.queue === undefined || action.queue.type === "quorum") {
      expect(action.queue?.max_priority).toBeUndefined();
    } else {
      expect(action.queue).toEqual({ type: "classic", max_priority: expect.any(Number) });
      // Pocketwatch publishes with 9, 4 and 1.
      expect(action.queue.max_priority).toBeGreaterThanOrEqual(9);
    }
  });

  describe.each(action.versions)("v%i", (version) => {
    const schema = readJson<PayloadSchema>(`${name}/v${version}.schema.json`);
    const validate = compile(schema);
    const examples = `${name}/examples/v${version}`;
    const invalidFiles = list(`${examples}/invalid`);
    const validFiles = list(`${examples}/valid`);

    test("its schema says what it is", () => {
      expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
      expect(schema.$id).toBe(`https://pocketwatch.dev/contracts/actions/${name}/v${version}.schema.json`);
      expect(schema.title).not.toBe("");
      expect(schema.description).not.toBe("");
      expect(schema.examples.length).toBeGreaterThan(0);
      for (const example of schema.examples) expect(validate(example), JSON.stringify(example)).toBe(true);
    });

    test("every object it describes is closed and every property explained", () => {
      for (const node of subschemas(schema)) {
        if (node.type === "object") expect(node.additionalProperties ?? true, JSON.stringify(node)).not.toBe(true);
        for (const [property, child] of Object.entries((node.properties ?? {}) as Record<string, object>)) {
          expect(child, property).toHaveProperty("description");
        }
      }
    });

    test("it can be read outside JavaScript", () => {
      // `format` means nothing to most validators unless asked for, and the regular expressions of Go have no
      // look-around and no \u escapes: a rule written with either would hold on one side of the wire only.
      for (const node of subschemas(schema)) {
        expect(node).not.toHaveProperty("format");
        if (typeof node.pattern === "string") expect(node.pattern).not.toMatch(/\(\?|\\u/);
      }
    });

    test("the key of its breaker is part of every payload", () => {
      const key = action.breaker?.key ?? "target";
      if (key === "target") return;
      expect(key).toMatch(/^\/[a-z_]+$/);
      for (const file of validFiles) expect(readJson<object>(`${examples}/valid/${file}`)).toHaveProperty(key.slice(1));
    });

    test("there are several examples of both kinds", () => {
      expect(validFiles.length).toBeGreaterThanOrEqual(3);
      expect(invalidFiles.length).toBeGreaterThanOrEqual(3);
    });

    test.each(validFiles)("accepts %s", (file) => {
      validate(readJson(`${examples}/valid/${file}`));
      expect(validate.errors ?? []).toEqual([]);
    });

    test.each(invalidFiles)("refuses %s for the field it names, and for nothing else", (file) => {
      const example = readJson<InvalidExample>(`${examples}/invalid/${file}`);
      expect(Object.keys(example)).toEqual(["why", "field", "payload"]);
      expect(example.why).not.toBe("");
      expect(validate(example.payload)).toBe(false);
      const fields = new Set(validate.errors?.map(fieldAtFault));
      expect([...fields]).toEqual([example.field]);
    });
  });
});

type SchemaNode = Record<string, unknown>;

/** The schema and every schema inside it. Examples are skipped: they are data. */
function* subschemas(node: unknown): Generator<SchemaNode> {
  if (typeof node !== "object" || node === null) return;
  if (!Array.isArray(node)) yield node as SchemaNode;
  for (const [key, child] of Object.entries(node)) if (key !== "examples") yield* subschemas(child);
}
