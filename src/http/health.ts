import { z } from "zod";
import type { Metrics } from "../runtime/metrics.ts";
import type { MetricsApi } from "./api.ts";
import { pathOf, problem, sendProblem } from "./problem.ts";
import type { Server } from "./request.ts";

/** What the service needs; false: it is not there (yet). */
export interface Readiness {
  readonly database: boolean;
  readonly broker: boolean;
  readonly migrations: boolean;
}

export interface HealthOptions {
  readonly api: MetricsApi;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: Metrics;
}

const tags = ["health"];

export function healthRoutes(server: Server, { readiness, metrics, api }: HealthOptions): void {
  server.get(
    "/livez",
    {
      config: { scope: "none" },
      schema: { tags, summary: "The process answers", response: { 200: z.object({ status: z.literal("alive") }) } },
    },
    () => ({ status: "alive" as const }),
  );

  server.get(
    "/readyz",
    {
      config: { scope: "none" },
      schema: {
        tags,
        summary: "Everything the service needs is there",
        description: "503 names what is not: database, broker, migrations.",
        response: {
          200: z.object({
            status: z.literal("ready"),
            database: z.boolean(),
            broker: z.boolean(),
            migrations: z.boolean(),
          }),
        },
      },
    },
    async (request, reply) => {
      const checks = await readiness();
      const missing = Object.entries(checks).flatMap(([name, ready]) => (ready ? [] : [name]));
      if (missing.length === 0) return { status: "ready" as const, ...checks };
      const answer = problem(503, `not ready: ${missing.join(", ")}`, pathOf(request));
      return sendProblem(reply, { ...answer, not_ready: missing, ...checks });
    },
  );

  server.get(
    "/metrics",
    {
      config: { scope: "read" },
      schema: {
        tags,
        summary: "Figures for Prometheus",
        response: { 200: { description: "Done", content: { "text/plain": { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      await api.measure();
      reply.type(metrics.registry.contentType).serializer(String);
      return metrics.registry.metrics();
    },
  );
}
