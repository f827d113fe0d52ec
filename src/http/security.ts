import { Histogram } from "prom-client";
import type { Metrics } from "../runtime/metrics.ts";
import type { Server } from "./request.ts";

/** Nothing here is meant for a browser to frame, sniff, cache or send on; no CORS header means no other site may read it. */
const HEADERS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
} as const;

export function protect(server: Server, metrics: Metrics): void {
  const seconds = new Histogram({
    name: "pocketwatch_http_request_duration_seconds",
    help: "Duration of a request",
    labelNames: ["method", "route", "status"] as const,
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [metrics.registry],
  });
  server.addHook("onRequest", async (_request, reply) => {
    reply.headers(HEADERS);
  });
  server.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    seconds.observe({ method: request.method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1_000);
    request.log.debug({ method: request.method, route, status: reply.statusCode, ms: reply.elapsedTime }, "request");
  });
}
