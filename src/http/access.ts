import { pathOf, problem, sendProblem } from "./problem.ts";
import type { Scope, Server } from "./request.ts";

/** Who asks, and what they may do. `admin` includes `trigger`, which includes `read`. */
export interface Caller {
  readonly name: string;
  readonly scope: Exclude<Scope, "none">;
}

/** The caller that an `Authorization` header belongs to; null: nobody's. */
export type Authenticate = (authorization: string | undefined) => Caller | null;

const RANK: Readonly<Record<Scope, number>> = { none: 0, read: 1, trigger: 2, admin: 3 };
const ANYBODY: Caller = { name: "anonymous", scope: "admin" };

/** The one place that decides who may do what, before a body is read. */
export function admit(server: Server, authenticate: Authenticate = () => ANYBODY): void {
  server.decorateRequest("actor", ANYBODY.name);
  server.addHook("onRequest", async (request, reply) => {
    const needed = request.routeOptions.config.scope ?? "read";
    if (needed === "none" || request.is404) return;
    const caller = authenticate(request.headers.authorization);
    if (caller === null) {
      reply.header("www-authenticate", "Bearer");
      return sendProblem(reply, problem(401, "a valid bearer token is needed", pathOf(request)));
    }
    if (RANK[caller.scope] < RANK[needed]) {
      return sendProblem(reply, problem(403, `the token ${caller.name} does not allow ${needed}`, pathOf(request)));
    }
    request.actor = caller.name;
  });
}
