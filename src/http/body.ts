import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Server } from "./request.ts";

/**
 * JSON bodies, also as `application/merge-patch+json` and other `+json` types. Where an object is expected, no body is the
 * same as `{}`: most commands have nothing that must be said.
 */
export function bodyParsers(server: Server): void {
  server.removeAllContentTypeParsers();
  const parse = server.getDefaultJsonParser("error", "error");
  server.addContentTypeParser(
    /^application\/([\w.-]+\+)?json\b/i,
    { parseAs: "string" },
    (request: FastifyRequest, body: string, done) => {
      if (body.trim() === "") return done(null, undefined);
      return parse(request, body, done);
    },
  );
  server.addHook("preValidation", async (request) => {
    if (request.body == null && request.routeOptions.schema?.body instanceof z.ZodObject) request.body = {};
  });
}
