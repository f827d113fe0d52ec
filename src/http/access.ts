import rateLimit, { type RateLimitOptions } from "@fastify/rate-limit";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isLoopback } from "../access/loopback.ts";
import { SCOPES, type TokenScope } from "../access/tokens.ts";
import { pathOf, problem, sendProblem } from "./problem.ts";
import type { Server } from "./request.ts";

/** Who asks, and what they may do. `admin` includes `trigger`, which includes `read`. */
export interface Caller {
  readonly name: string;
  readonly scope: TokenScope;
}

/** The caller that an `Authorization` header belongs to; null: nobody's. */
export type Authenticate = (authorization: string | undefined) => Caller | null;

export interface AccessOptions {
  /** Absent: nobody has a token, and everybody may do everything. */
  readonly authenticate?: Authenticate | undefined;
  /** Requests of one token, or without tokens of one address; 0: any number. */
  readonly requests_per_minute?: number | undefined;
}

const ANYBODY: Caller = { name: "anonymous", scope: "admin" };
/** Per address. Nobody guesses a token; this keeps a client with an outdated one from filling the log. */
const FAILURES_PER_MINUTE = 60;

/** The one place that decides who may do what, and how often, before a body is read. */
export async function admit(server: Server, { authenticate, requests_per_minute = 0 }: AccessOptions): Promise<void> {
  await server.register(rateLimit, { global: false, timeWindow: 60_000 });
  const perMinute = (options: RateLimitOptions) => {
    const count = server.createRateLimit(options);
    /** Seconds until there is room again; null: there is. */
    return async (request: FastifyRequest): Promise<number | null> => {
      const counted = await count(request);
      return counted.isAllowed || !counted.isExceeded ? null : counted.ttlInSeconds;
    };
  };
  const failures = perMinute({ max: FAILURES_PER_MINUTE });
  const requests =
    requests_per_minute === 0
      ? async () => null
      : perMinute({
          max: requests_per_minute,
          ...(authenticate === undefined ? {} : { keyGenerator: (request) => request.actor }),
        });

  server.decorateRequest("actor", ANYBODY.name);
  server.decorateRequest("admitted", function (this: FastifyRequest) {
    return authenticate === undefined || authenticate(this.headers.authorization) !== null;
  });
  server.addHook("onRequest", async (request, reply) => {
    const needed = request.routeOptions.config.scope ?? "read";
    if (needed === "none" || request.is404) return;
    if (authenticate === undefined && fromAnotherSite(request)) {
      const detail = "without tokens the service answers to this machine only, and to no other site's pages";
      return sendProblem(reply, problem(403, detail, pathOf(request)));
    }
    const caller = authenticate === undefined ? ANYBODY : authenticate(request.headers.authorization);
    if (caller === null) {
      const wait = await failures(request);
      return wait === null ? unauthenticated(request, reply) : tooMany(request, reply, wait);
    }
    request.actor = caller.name;
    const wait = await requests(request);
    if (wait !== null) return tooMany(request, reply, wait);
    if (SCOPES.indexOf(caller.scope) >= SCOPES.indexOf(needed)) return;
    reply.header("www-authenticate", `Bearer realm="pocketwatch", error="insufficient_scope", scope="${needed}"`);
    const detail = `this needs the scope ${needed}; the token ${caller.name} has ${caller.scope}`;
    return sendProblem(reply, { ...problem(403, detail, pathOf(request)), needed_scope: needed });
  });
}

/**
 * What loopback does not keep out: a page of another site in a browser on this machine. It names itself as `Origin`, or,
 * where its own name was made to lead here (DNS rebinding), as `Host`.
 */
function fromAnotherSite({ headers: { host = "", origin } }: FastifyRequest): boolean {
  if (!isLoopback(host.replace(/:\d+$/, ""))) return true;
  return origin !== undefined && origin !== `http://${host}`;
}

function unauthenticated(request: FastifyRequest, reply: FastifyReply) {
  const sent = request.headers.authorization !== undefined;
  reply.header("www-authenticate", `Bearer realm="pocketwatch"${sent ? ', error="invalid_token"' : ""}`);
  const detail = sent ? "the bearer token is not one of this service's" : "a bearer token is needed";
  return sendProblem(reply, problem(401, detail, pathOf(request)));
}

function tooMany(request: FastifyRequest, reply: FastifyReply, wait_seconds: number) {
  reply.header("retry-after", String(wait_seconds));
  return sendProblem(reply, problem(429, `try again in ${wait_seconds} s`, pathOf(request)));
}
