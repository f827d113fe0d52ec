import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, RawServerDefault } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { TokenScope } from "../access/tokens.ts";
import { unstorableText } from "../contracts/storable.ts";
import { isTraceparent } from "../contracts/trace-context.ts";
import { NotFound } from "../schedule/errors.ts";
import type { RequestKey } from "./api.ts";
import { InvalidRequest } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks: the name of their token. */
    actor: string;
    /** Whether they would still be let in: an answer that takes long may outlive its token. */
    admitted(): boolean;
  }
  interface FastifyContextConfig {
    /** What a token must allow; read unless said otherwise. */
    scope?: Scope;
  }
}

/** `none`: no token is needed. */
export type Scope = TokenScope | "none";

/** A server whose routes are typed by their zod schemas. */
export type Server = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** `:id` of a schedule: its id or its name, whatever characters that has. */
export const idParams = z.object({ id: z.string() });

/** @throws NotFound for what cannot be a name, instead of asking Postgres, which would refuse the text */
export function nameIn(request: { readonly params: { readonly id: string } }): string {
  const { id } = request.params;
  if (id.length > 0 && unstorableText(id) === null) return id;
  throw new NotFound("there is no such schedule");
}

/** A name in the address of something other than a schedule. @throws NotFound */
export function segmentIn(text: string, what: string): string {
  if (text.length > 0 && unstorableText(text) === null) return text;
  throw new NotFound(`there is no such ${what}`);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws NotFound */
export function runIdIn(request: { readonly params: { readonly id: string } }): string {
  const { id } = request.params;
  if (UUID.test(id)) return id.toLowerCase();
  throw new NotFound("there is no such run: the id of a run is a UUID");
}

/**
 * The caller's `Idempotency-Key`. Keys of different callers do not meet.
 * @throws InvalidRequest
 */
export function requestKey(request: FastifyRequest): RequestKey | null {
  const key = request.headers["idempotency-key"];
  if (key === undefined) return null;
  if (typeof key === "string" && /^[\x21-\x7e]{1,255}$/.test(key)) return { source: `http:${request.actor}`, key };
  throw new InvalidRequest([
    { field: "Idempotency-Key", message: "must be 1 to 255 visible ASCII characters without spaces" },
  ]);
}

/** The caller's trace, which a run it asks for belongs to; a malformed one is ignored, as W3C has it. */
export function traceparent(request: FastifyRequest): string | null {
  const header = request.headers.traceparent;
  return isTraceparent(header) ? header : null;
}

/**
 * The revision that a change is based on; null where the caller does not say, or accepts any.
 * @throws InvalidRequest
 */
export function expectedRevision(request: FastifyRequest): number | null {
  const header = request.headers["if-match"];
  if (header === undefined || header === "*") return null;
  const match = /^(?:W\/)?"(\d{1,15})"$/.exec(header);
  if (match === null) {
    throw new InvalidRequest([{ field: "If-Match", message: 'must be the ETag of an earlier answer, such as "3"' }]);
  }
  return Number(match[1]);
}

/**
 * What a PUT takes for granted: a revision, `absent` (`If-None-Match: *`, so that it only creates), or null: nothing.
 * @throws InvalidRequest
 */
export function expectedBefore(request: FastifyRequest): number | "absent" | null {
  const header = request.headers["if-none-match"];
  if (header === undefined) return expectedRevision(request);
  if (header === "*" && request.headers["if-match"] === undefined) return "absent";
  throw new InvalidRequest([{ field: "If-None-Match", message: "must be *, and not beside If-Match" }]);
}

export function etag(schedule: { readonly revision: number }): string {
  return `"${schedule.revision}"`;
}
