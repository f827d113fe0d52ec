import swagger from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import type { Server } from "./request.ts";

/** OpenAPI 3.1 of every route that is registered after this. */
export async function describeApi(server: Server, version: string): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Pocketwatch", version, description: "A message-driven scheduler." },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  server.get("/openapi.json", { schema: { hide: true } as object, config: { scope: "none" } }, () => server.swagger());
}
