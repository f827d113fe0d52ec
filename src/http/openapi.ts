import { EXAMPLES } from "./examples.ts";
import { answerHeaders, type Header, PROBLEM_HEADERS, requestHeaders } from "./header-docs.ts";

/** As much of an OpenAPI document as is looked at here. */
export interface OpenApi {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: {
    readonly schemas?: Readonly<Record<string, Schema>>;
    readonly responses?: Readonly<Record<string, Response>>;
  };
}

export type Schema = { readonly [key: string]: unknown };

export interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  /** What a token must allow; empty: none is needed. */
  readonly security?: readonly { readonly bearer: readonly string[] }[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Readonly<Record<string, Content>> };
  readonly responses?: Readonly<Record<string, Response>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

interface Content {
  readonly schema: Schema;
  readonly example?: unknown;
}

interface Response {
  /** Instead of everything else. */
  readonly $ref?: string;
  readonly description?: string;
  readonly headers?: Readonly<Record<string, Header>>;
  readonly content?: Readonly<Record<string, Content>>;
}

const PROBLEM = {
  type: "object",
  properties: {
    type: { type: "string", format: "uri" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    instance: { type: "string" },
    errors: {
      type: "array",
      items: {
        type: "object",
        properties: { field: { type: "string" }, message: { type: "string" } },
        required: ["field", "message"],
      },
    },
  },
  required: ["type", "title", "status", "detail", "instance"],
} as const;

const PROBLEM_ANSWER: Response = {
  description: "What is wrong, as problem details",
  headers: PROBLEM_HEADERS,
  content: {
    "application/problem+json": {
      schema: { $ref: "#/components/schemas/Problem" },
      example: {
        type: "https://pocketwatch.dev/problems/invalid-input",
        title: "The request names things that cannot be",
        status: 422,
        detail: 'timing.expression: expected 5 or 6 fields, found 4 in "0 9 * *"',
        instance: "/v1/schedules",
        errors: [{ field: "timing.expression", message: 'expected 5 or 6 fields, found 4 in "0 9 * *"' }],
      },
    },
  },
};

/** What the generator leaves out: names of operations, errors, examples, headers; and without what nothing refers to. */
export function completeDocument(generated: OpenApi): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const [path, operations] of Object.entries(generated.paths)) {
    const named = path.replace("{*}", "{path}");
    paths[named] = Object.fromEntries(
      Object.entries(operations).map(([method, operation]) => [method, complete(method, named, operation)]),
    );
  }
  const schemas = { ...generated.components?.schemas, Problem: PROBLEM };
  return withoutUnused({
    ...generated,
    paths,
    components: { ...generated.components, schemas, responses: { Problem: PROBLEM_ANSWER } },
  });
}

function complete(method: string, path: string, operation: Operation): Operation {
  const operationId = operationName(method, path);
  const example = EXAMPLES[operationId];
  const responses = Object.entries(operation.responses ?? {}).map(([status, response]) => {
    const content = Object.entries(response.content ?? {}).map(([type, body]) => [
      type,
      example?.answer === undefined ? body : { ...body, example: example.answer },
    ]);
    const described = {
      description: DESCRIPTIONS[status] ?? "Done",
      headers: answerHeaders(operationId, status, Object.values(response.content ?? {})[0]?.schema.$ref),
      content: Object.fromEntries(content),
    };
    return [status, Object.fromEntries(Object.entries(described).filter(([, value]) => Object.keys(value).length > 0))];
  });
  return {
    operationId,
    ...operation,
    parameters: [...(operation.parameters ?? []).map(renamed), ...requestHeaders(operationId)],
    ...(operation.requestBody === undefined
      ? {}
      : { requestBody: withExample(operation.requestBody, example?.request) }),
    responses: {
      ...Object.fromEntries(responses),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  200: "Done",
  201: "Made",
  204: "Done; there is nothing to say",
};

/** `post /v1/schedules/{id}/skip-next` → `postSchedulesByIdSkipNext`. */
function operationName(method: string, path: string): string {
  const words = path
    .replace(/^\/v1/, "")
    .replace(/\{(\w+)\}/g, "by-$1")
    .split(/[^a-zA-Z]+/)
    .filter((word) => word !== "");
  return method + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}

function renamed(parameter: Parameter): Parameter {
  return parameter.name === "*" ? { ...parameter, name: "path" } : parameter;
}

// A body in which nothing is required need not be sent.
function withExample(body: NonNullable<Operation["requestBody"]>, example: unknown) {
  const content = Object.entries(body.content).map(([type, one]) => [
    type,
    example === undefined ? one : { ...one, example },
  ]);
  const needed = Object.values(body.content).some(({ schema }) => schema.required !== undefined || "$ref" in schema);
  return { required: needed, content: Object.fromEntries(content) };
}

/** The generator writes each schema as it is sent and as it is answered; what nothing refers to goes, and with it the suffix. */
function withoutUnused(document: OpenApi): OpenApi {
  const schemas = document.components?.schemas ?? {};
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    for (const [, name] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name!)) continue;
      used.add(name!);
      visit(schemas[name!] ?? null);
    }
  };
  visit([document.paths, document.components?.responses]);
  const names = new Map(
    [...used].map((name) => {
      const plain = name.replace(/Input$/, "");
      return [name, used.has(plain) ? name : plain];
    }),
  );
  const kept = Object.fromEntries([...used].sort().map((name) => [names.get(name)!, schemas[name]]));
  const text = JSON.stringify({ ...document, components: { ...document.components, schemas: kept } });
  return JSON.parse(
    text.replaceAll(
      /"#\/components\/schemas\/([^"]+)"/g,
      (_, name) => `"#/components/schemas/${names.get(name) ?? name}"`,
    ),
  );
}
