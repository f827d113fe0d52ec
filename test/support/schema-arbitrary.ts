import * as fc from "fast-check";

export type JsonSchema = { readonly [key: string]: unknown };

/** Text that has been trouble somewhere: empty, long, not ASCII, halves of characters, other languages' syntax. */
export const awkwardText = fc.constantFrom(
  ...[
    "",
    " ",
    "\u0000",
    "\ud800",
    "a".repeat(300),
    "💥",
    "ü",
    "../..",
    ".",
    "%00",
    "%",
    "/",
    "' OR 1=1 --",
    "a=b",
    "x,y",
  ],
);

/** Values of any shape, with what is at the edge of what JSON, JavaScript and Postgres can say. */
export const anything = fc.oneof(
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  awkwardText,
  fc.constantFrom(-1, 0, 1, 1.5, 1e308, -1e308, 2 ** 53, 2 ** 31, Number.NaN),
  fc.constantFrom(null, true, [], {}, [[]], { kind: "cron" }, { kind: "interval", every_seconds: 1 }),
  fc.constantFrom("2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z"),
);

/** Values that a JSON Schema of an OpenAPI document allows, patterns aside. */
export function fromSchema(schema: JsonSchema, root: JsonSchema, depth = 0): fc.Arbitrary<unknown> {
  const inner = (one: unknown) => fromSchema(one as JsonSchema, root, depth + 1);
  if (typeof schema.$ref === "string") return inner(resolve(schema.$ref, root));
  if ("const" in schema) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  const choices = (schema.anyOf ?? schema.oneOf) as JsonSchema[] | undefined;
  if (choices !== undefined) return fc.oneof(...choices.map(inner));
  if (Array.isArray(schema.type)) return fc.oneof(...schema.type.map((type) => inner({ ...schema, type })));
  const { minimum = -1_000, maximum = 100_000 } = schema as { minimum?: number; maximum?: number };
  switch (schema.type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.integer({ min: Math.max(minimum, -(2 ** 31)), max: Math.min(maximum, 2 ** 31 - 1) });
    case "number":
      return fc.double({ min: minimum, max: maximum, noNaN: true });
    case "string":
      return texts(schema);
    case "array": {
      const { minItems = 0, maxItems = 3 } = schema as { minItems?: number; maxItems?: number };
      const items = schema.items === undefined ? anything : inner(schema.items);
      return fc.array(items, { minLength: minItems, maxLength: Math.max(minItems, Math.min(maxItems, 3)) });
    }
    case "object":
      return objects(schema, inner);
    default:
      return depth > 4 ? fc.constant(null) : anything;
  }
}

function texts(schema: JsonSchema): fc.Arbitrary<string> {
  const { minLength = 0, maxLength = 40 } = schema as { minLength?: number; maxLength?: number };
  if (schema.format === "date-time") {
    return fc
      .date({ min: new Date("2020-01-01"), max: new Date("2030-01-01"), noInvalidDate: true })
      .map((date) => date.toISOString());
  }
  if (schema.format === "uuid") return fc.uuid();
  return fc.string({ unit: "grapheme", minLength, maxLength: Math.max(minLength, Math.min(maxLength, 40)) });
}

function objects(schema: JsonSchema, inner: (one: unknown) => fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const properties = (schema.properties ?? {}) as Record<string, JsonSchema>;
  const required = (schema.required ?? []) as string[];
  const known = fc.record(Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, inner(one)])), {
    requiredKeys: required,
  });
  const { additionalProperties } = schema;
  if (typeof additionalProperties !== "object" || Object.keys(properties).length > 0) return known;
  return fc.dictionary(fc.string({ minLength: 1, maxLength: 10 }), inner(additionalProperties), { maxKeys: 3 });
}

function resolve(reference: string, root: JsonSchema): JsonSchema {
  let found: unknown = root;
  for (const part of reference.split("/").slice(1)) found = (found as Record<string, unknown>)[part];
  return found as JsonSchema;
}
