import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import type { FieldError } from "../schedule/errors.ts";
import { formats } from "./formats.ts";
import { findUnstorable } from "./storable.ts";

/** What is wrong with a payload, `[]` when nothing is. */
export type PayloadValidator = (payload: unknown) => FieldError[];

const MOST_ERRORS = 20;

/**
 * Compiles a JSON Schema 2020-12 document into a validator whose errors name dotted fields below `payload`.
 * Throws when the schema is not valid; unknown keywords and formats are errors, because they are misspellings mostly.
 */
export function compilePayloadSchema(schema: object): PayloadValidator {
  const ajv = new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    logger: false,
    formats,
  });
  const validate = ajv.compile(schema);
  return (payload) => {
    const flaw = findUnstorable(payload);
    if (flaw) return [{ field: ["payload", ...flaw.path].join("."), message: flaw.why }];
    if (validate(payload)) return [];
    return describe(validate.errors ?? []);
  };
}

function describe(errors: readonly ErrorObject[]): FieldError[] {
  const seen = new Map<string, FieldError>();
  for (const error of errors) {
    // "if" only repeats what its then/else branch has said already.
    if (error.keyword === "if") continue;
    const described = inWords(error);
    seen.set(`${described.field} ${described.message}`, described);
  }
  return [...seen.values()].slice(0, MOST_ERRORS);
}

function inWords(error: ErrorObject): FieldError {
  const { keyword, params } = error;
  const found = `, found ${abbreviate(error.data)}`;
  const here = path(error.instancePath);
  switch (keyword) {
    case "required":
      return { field: `${here}.${params.missingProperty}`, message: "is required" };
    case "dependentRequired":
      return { field: `${here}.${params.missingProperty}`, message: `is required beside ${params.property}` };
    case "additionalProperties":
      return { field: `${here}.${params.additionalProperty}`, message: "unknown field" };
    case "unevaluatedProperties":
      return { field: `${here}.${params.unevaluatedProperty}`, message: "unknown field" };
    case "propertyNames":
      return { field: `${here}.${params.propertyName}`, message: "is not an allowed field name" };
    case "type":
      return { field: here, message: `expected ${[params.type].flat().join(" or ")}${found}` };
    case "enum":
      return {
        field: here,
        message: `expected one of ${params.allowedValues.map((value: unknown) => abbreviate(value)).join(", ")}${found}`,
      };
    case "const":
      return { field: here, message: `expected ${abbreviate(params.allowedValue)}${found}` };
    case "minimum":
    case "maximum":
    case "exclusiveMinimum":
    case "exclusiveMaximum":
      return { field: here, message: `expected ${COMPARISON[params.comparison] ?? ""} ${params.limit}${found}` };
    case "multipleOf":
      return { field: here, message: `expected a multiple of ${params.multipleOf}${found}` };
    case "minLength":
    case "maxLength":
      return { field: here, message: `expected ${bound(keyword, params.limit, "character")}${found}` };
    case "minItems":
    case "maxItems":
      return { field: here, message: `expected ${bound(keyword, params.limit, "item")}${found}` };
    case "minProperties":
    case "maxProperties":
      return { field: here, message: `expected ${bound(keyword, params.limit, "field")}${found}` };
    case "pattern":
      return { field: here, message: `expected text that matches ${params.pattern}${found}` };
    case "format":
      return { field: here, message: `expected ${params.format}${found}` };
    case "uniqueItems":
      return {
        field: here,
        message: `items ${Math.min(params.i, params.j)} and ${Math.max(params.i, params.j)} are the same`,
      };
    case "oneOf":
    case "anyOf":
      return { field: here, message: "matches none or too many of the allowed forms" };
    default:
      return { field: here, message: error.message ?? keyword };
  }
}

const COMPARISON: Readonly<Record<string, string>> = {
  ">=": "at least",
  "<=": "at most",
  ">": "more than",
  "<": "less than",
};

function bound(keyword: string, limit: number, unit: string): string {
  return `${keyword.startsWith("min") ? "at least" : "at most"} ${limit} ${unit}${limit === 1 ? "" : "s"}`;
}

/** `/managers/bmc~11/fan` → `payload.managers.bmc/1.fan` */
function path(pointer: string): string {
  const parts = pointer.split("/").slice(1);
  return ["payload", ...parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))].join(".");
}

function abbreviate(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
