import type { OpenApi, Operation, Schema } from "./openapi.ts";

export const DOCS_STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
details { border: 1px solid #8886; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow: auto; background: #8881; padding: .8rem; border-radius: 6px; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }
`;

/** The whole API on one page, made on the server. */
export function renderDocs(document: OpenApi): string {
  const groups = new Map<string, string[]>();
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), renderOperation(document, method, path, operation)]);
    }
  }
  const { title, version, description = "" } = document.info;
  const sections = [...groups].map(([tag, rendered]) => `<h2>${encode(tag)}</h2>\n${rendered.join("\n")}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${encode(title)}</title><style>${DOCS_STYLE}</style></head>
<body><h1>${encode(title)} ${encode(version)}</h1><p>${encode(description)}</p>
<p>The same as a document for programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
${sections.join("\n")}
</body></html>
`;
}

function renderOperation(document: OpenApi, method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: where, description = "" }) =>
      `<tr><td><code>${encode(name)}</code></td><td>${encode(where)}</td><td>${encode(description)}</td></tr>`,
  );
  const scope = operation.security?.[0]?.bearer[0];
  const body = Object.values(operation.requestBody?.content ?? {})[0];
  const answers = Object.entries(operation.responses ?? {})
    .filter(([status]) => status !== "default")
    .map(([status, response]) => {
      const content = Object.values(response.content ?? {})[0];
      const example = content?.example === undefined ? "" : `<pre>${json(content.example)}</pre>`;
      const headers = Object.entries(response.headers ?? {}).map(
        ([name, { description }]) => `<tr><td><code>${encode(name)}</code></td><td>${encode(description)}</td></tr>`,
      );
      const table = headers.length === 0 ? "" : `<table>${headers.join("")}</table>`;
      return `<h4>${encode(status)} ${encode(response.description ?? "")}</h4>${table}${example}`;
    });
  return `<details id="${encode(operation.operationId ?? "")}">
<summary><span class="method">${encode(method.toUpperCase())}</span> <code>${encode(path)}</code> – ${encode(operation.summary ?? "")}</summary>
${operation.description === undefined ? "" : `<p>${encode(operation.description)}</p>`}
<p>${scope === undefined ? "Needs no token." : `Scope: <code>${encode(scope)}</code>`}</p>
${parameters.length === 0 ? "" : `<table>${parameters.join("")}</table>`}
${body === undefined ? "" : `<h4>Body</h4>${renderFields(document, body.schema)}`}
${body?.example === undefined ? "" : `<pre>${json(body.example)}</pre>`}
${answers.join("\n")}
</details>`;
}

function renderFields(document: OpenApi, schema: Schema): string {
  const resolved = resolve(document, schema);
  const required = (resolved.required ?? []) as string[];
  const rows = Object.entries((resolved.properties ?? {}) as Record<string, Schema>).map(([name, field]) => {
    const description = field.description ?? resolve(document, field).description ?? "";
    const mark = required.includes(name) ? "required" : "";
    return `<tr><td><code>${encode(name)}</code></td><td>${mark}</td><td>${encode(String(description))}</td></tr>`;
  });
  return rows.length === 0 ? "" : `<table>${rows.join("")}</table>`;
}

function resolve(document: OpenApi, schema: Schema): Schema {
  const name = typeof schema.$ref === "string" ? schema.$ref.split("/").at(-1)! : null;
  return name === null ? schema : (document.components?.schemas?.[name] ?? {});
}

function json(value: unknown): string {
  return encode(JSON.stringify(value, null, 2));
}

function encode(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}
