import { createHash } from "node:crypto";
import swagger from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { DOCS_STYLE, renderDocs } from "./docs-page.ts";
import { completeDocument, type OpenApi } from "./openapi.ts";
import type { Server } from "./request.ts";

// A page of its own instead of Swagger UI: no script, nothing from another host, readable with any browser.
const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(DOCS_STYLE).digest("base64")}'; frame-ancestors 'none'`;

const BEARER = {
  type: "http",
  scheme: "bearer",
  description:
    "Made with `pocketwatch tokens create`. 401: none, or not one of the service's; 403: another scope is needed.",
} as const;

/** OpenAPI 3.1 of every route that is registered after this, at `/openapi.json` and as a page at `/docs`. */
export async function describeApi(server: Server, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Pocketwatch",
        version,
        description:
          "A message-driven scheduler: schedules and runs in Postgres, versioned trigger events on RabbitMQ, consumers in any " +
          "language. JSON in snake_case, instants in ISO 8601, errors as problem details (RFC 9457). A service with tokens " +
          "wants one in every request, with the scope that the operation names; admin includes trigger, which includes read.",
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: "/" }],
      components: { securitySchemes: { bearer: BEARER } },
    },
    transform(operation) {
      const { url, schema } = jsonSchemaTransform(operation);
      const scope = operation.route.config?.scope ?? "read";
      return { url, schema: { ...schema, security: scope === "none" ? [] : [{ bearer: [scope] }] } };
    },
    transformObject: jsonSchemaTransformObject,
  });
  let document: OpenApi | null = null;
  const complete = () => {
    document ??= completeDocument(server.swagger() as unknown as OpenApi);
    return document;
  };
  const hidden = { schema: { hide: true } as object, config: { scope: "none" as const } };
  server.get("/openapi.json", hidden, complete);
  server.get("/docs", hidden, (_request, reply) => {
    reply.type("text/html; charset=utf-8").header("content-security-policy", PAGE_POLICY).serializer(String);
    return renderDocs(complete());
  });
}
