import fastify, { type FastifyError, LogController } from "fastify";
import type { Logger } from "pino";
import type { Metrics } from "../runtime/metrics.ts";
import { type AccessOptions, admit } from "./access.ts";
import type { Api } from "./api.ts";
import { bodyParsers } from "./body.ts";
import { bulkRoutes } from "./bulk.ts";
import { describeApi } from "./docs.ts";
import { eventRoutes } from "./events.ts";
import { healthRoutes, type Readiness } from "./health.ts";
import { messagingRoutes } from "./messaging.ts";
import { breakerRoutes, poolRoutes } from "./pools.ts";
import { pathOf, problem, sendProblem, toProblem } from "./problem.ts";
import type { Server } from "./request.ts";
import { runRoutes } from "./runs.ts";
import { scheduleCommandRoutes } from "./schedule-commands.ts";
import { schedulerRoutes, statisticsRoutes } from "./scheduler.ts";
import { scheduleRoutes } from "./schedules.ts";
import { protect } from "./security.ts";
import { signalRoutes } from "./signals.ts";
import { answerUnreadable } from "./unreadable.ts";
import { validate } from "./validation.ts";

export interface HttpOptions extends AccessOptions {
  readonly api: Api;
  /** What the service needs and whether it has it. */
  readonly readiness: () => Promise<Readiness>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly version: string;
}

export interface HttpServer {
  /** `http://127.0.0.1:7420` */
  readonly url: string;
  /** Takes no new request, answers those it has. May be called twice. */
  close(): Promise<void>;
}

/** Larger than any sensible schedule, small enough to be read into memory a hundred times. */
const BODY_LIMIT = 1_048_576;
const REQUEST_TIMEOUT_MS = 30_000;
/** A name of 255 characters, each of them four bytes and percent-encoded. */
const LONGEST_NAME = 255 * 12;

/** Builds the server and listens. Port 0 takes a free one. */
export async function createHttpServer(
  options: HttpOptions & { readonly host: string; readonly port: number },
): Promise<HttpServer> {
  const server = await buildServer(options);
  const url = await server.listen({ host: options.host, port: options.port });
  let closed: Promise<void> | null = null;
  return {
    url,
    close() {
      closed ??= Promise.resolve(server.close());
      return closed;
    },
  };
}

/** The server without a socket; tests inject their requests. */
export async function buildServer(options: HttpOptions): Promise<Server> {
  const { logger } = options;
  const server: Server = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: LONGEST_NAME, ignoreTrailingSlash: true },
    // Idle connections are closed with the server; those in use are answered first.
    forceCloseConnections: "idle",
    clientErrorHandler: answerUnreadable,
    frameworkErrors: (error, request, reply) => {
      sendProblem(reply, toProblem(error, pathOf(request)));
    },
  }) as unknown as Server;

  validate(server);
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const answer = toProblem(error, pathOf(request));
    if (answer.status >= 500) {
      const level = answer.status === 503 ? "warn" : "error";
      logger[level]({ err: error, method: request.method, path: answer.instance }, "a request failed");
    }
    sendProblem(reply, answer);
  });
  server.setNotFoundHandler((request, reply) => {
    const path = pathOf(request);
    sendProblem(reply, problem(404, `there is no ${request.method} ${path}`, path));
  });

  bodyParsers(server);
  protect(server, options.metrics);
  await admit(server, options);
  await describeApi(server, options.version);
  await server.register(async (routes) => {
    healthRoutes(routes as Server, options);
    scheduleRoutes(routes as Server, options.api);
    scheduleCommandRoutes(routes as Server, options.api);
    bulkRoutes(routes as Server, options.api);
    runRoutes(routes as Server, options.api);
    eventRoutes(routes as Server, options.api);
    poolRoutes(routes as Server, options.api);
    breakerRoutes(routes as Server, options.api);
    messagingRoutes(routes as Server, options.api);
    signalRoutes(routes as Server, options.api);
    schedulerRoutes(routes as Server, options.api);
    statisticsRoutes(routes as Server, options.api);
  });
  await server.ready();
  return server;
}
