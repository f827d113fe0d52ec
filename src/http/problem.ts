import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { Conflict, type FieldError, InvalidInput, NotFound, StaleRevision, Unavailable } from "../schedule/errors.ts";
import { toFieldPath } from "./schedule-fields.ts";

/** RFC 9457. Extension members say what the client needs to act on. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly errors?: readonly FieldError[];
  readonly [extension: string]: unknown;
}

/** The request breaks its schema; the fields are already those of the request. */
export class InvalidRequest extends InvalidInput {}

/** What a status means when nothing more is known. */
const KINDS: Readonly<Record<number, readonly [slug: string, title: string]>> = {
  400: ["malformed-request", "The request cannot be read"],
  401: ["unauthenticated", "A token is needed"],
  403: ["forbidden", "This is not allowed"],
  404: ["not-found", "There is no such thing"],
  405: ["method-not-allowed", "The method does not fit"],
  408: ["timeout", "The request took too long to arrive"],
  409: ["conflict", "This cannot be done in the present state"],
  412: ["stale-revision", "It is not as the request expects"],
  413: ["too-large", "The request is too large"],
  414: ["too-long", "The address is too long"],
  415: ["unsupported-media-type", "The body must be JSON"],
  422: ["invalid-input", "The request names things that cannot be"],
  429: ["too-many-requests", "There are too many requests"],
  431: ["too-long", "The headers are too long"],
  500: ["internal", "Something went wrong inside the service"],
  503: ["unavailable", "Something the service needs is away"],
};

const MOST_ERRORS = 100;
/** Fastify repeats what it was sent. */
const MOST_DETAIL = 300;

/** Any error as what is told to the client. Of an error of the service itself nothing is told. */
export function toProblem(error: unknown, instance: string): Problem {
  if (error instanceof InvalidInput) {
    const mapped = error instanceof InvalidRequest ? error.errors : error.errors.map(inRequestWords);
    const errors = mapped.slice(0, MOST_ERRORS);
    return { ...problem(422, summary(errors), instance), errors };
  }
  if (error instanceof NotFound) return problem(404, error.message, instance);
  if (error instanceof Conflict) return { ...problem(409, error.message, instance), state: error.state };
  if (error instanceof StaleRevision) {
    return { ...problem(412, error.message, instance), revision: error.revision };
  }
  if (error instanceof Unavailable) return problem(503, error.message, instance);
  const status = clientFault(error);
  if (status === 415)
    return problem(415, 'send it as JSON, with the header "content-type: application/json"', instance);
  return status === null
    ? problem(500, "the error is in the service's log", instance)
    : problem(status, (error as Error).message.slice(0, MOST_DETAIL), instance.slice(0, MOST_DETAIL));
}

export function problem(status: number, detail: string, instance: string): Problem {
  const [slug, title] = KINDS[status] ?? ["error", "The request failed"];
  return { type: `https://pocketwatch.dev/problems/${slug}`, title, status, detail, instance };
}

export function sendProblem(reply: FastifyReply, answer: Problem): FastifyReply {
  if (answer.status === 503) reply.header("retry-after", "1");
  return reply
    .code(answer.status)
    .type("application/problem+json; charset=utf-8")
    .serializer(JSON.stringify)
    .send(answer);
}

/** What Fastify says about a request it cannot take: 400, 413, 415 … Anything else is the service's own fault. */
function clientFault(error: unknown): number | null {
  const { code, statusCode } = (error ?? {}) as Partial<FastifyError>;
  if (typeof code !== "string" || !code.startsWith("FST_") || statusCode === undefined) return null;
  return statusCode >= 400 && statusCode < 500 ? statusCode : null;
}

function inRequestWords(error: FieldError): FieldError {
  return { field: toFieldPath(error.field), message: error.message };
}

function summary(errors: readonly FieldError[]): string {
  const [first] = errors;
  if (first === undefined) return "the request is not valid";
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  return `${first.field}: ${first.message}${more}`;
}

/** The path of a request, without what was asked for behind the `?`, which may hold what should not be repeated. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split("?", 1)[0]!;
}
