import { pino } from "pino";
import { createApi } from "../../src/api.ts";
import { holdActions } from "../../src/contracts/action-holder.ts";
import { connect, type Database } from "../../src/database/connection.ts";
import { ensurePools } from "../../src/database/pools.ts";
import type { Deps, PassName } from "../../src/deps.ts";
import type { AccessOptions } from "../../src/http/access.ts";
import type { Readiness } from "../../src/http/health.ts";
import type { Server } from "../../src/http/request.ts";
import { buildServer } from "../../src/http/server.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import type { Instant } from "../../src/schedule/instant.ts";
import { CONTRACTS } from "../support/contracts.ts";
import { createTestDatabase } from "../support/database.ts";

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly body: any;
  readonly headers: Record<string, unknown>;
}

/** The HTTP server on a database of its own, without a broker: runs stay pending. */
export interface HttpService {
  readonly server: Server;
  readonly deps: Deps;
  readonly database: Database;
  readonly woken: PassName[];
  readonly url: string;
  readiness: Readiness;
  setNow(instant: Instant | string | null): void;
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  rows<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  stop(): Promise<void>;
}

export async function startHttpService(
  options: { readonly max_connections?: number } & AccessOptions = {},
): Promise<HttpService> {
  const { max_connections = 10, ...access } = options;
  const home = await createTestDatabase();
  const logger = pino({ level: process.env.TEST_LOG_LEVEL ?? "silent" });
  let now: Instant | null = null;
  const database = connect({ url: home.url, logger, now: () => now, max_connections });
  const actions = holdActions(CONTRACTS);
  await actions.reload();
  const pools = actions
    .current()
    .list()
    .flatMap((action) => action.pool ?? []);
  await database.transaction((tx) => ensurePools(tx, pools));
  const woken: PassName[] = [];
  const metrics = createMetrics();
  const deps: Deps = {
    database,
    publisher: { ready: false, onChange: () => () => {}, publish: async () => [] },
    actions: actions.current,
    reloadActions: actions.reload,
    clock: systemClock,
    logger,
    metrics,
    instance: "test-1",
    prefix: "test",
    wake: (pass) => void woken.push(pass),
  };
  const service = {
    readiness: { database: true, broker: true, migrations: true },
  };
  const server = await buildServer({
    api: createApi(deps),
    readiness: async () => service.readiness,
    logger,
    metrics,
    version: "0.0.0-test",
    ...access,
  });
  return Object.assign(service, {
    server,
    deps,
    database,
    woken,
    url: home.url,
    setNow(instant: Instant | string | null) {
      now = typeof instant === "string" ? Date.parse(instant) : instant;
    },
    async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const answer = await server.inject({
        method: method as "GET",
        url: path,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { payload: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const isJson = /json/.test(String(answer.headers["content-type"]));
      return { status: answer.statusCode, body: isJson ? answer.json() : answer.body, headers: answer.headers };
    },
    rows: <Row>(text: string, values: readonly unknown[] = []) =>
      database.transaction((tx) => tx.query<Row>(text, values)),
    async stop() {
      await server.close();
      await database.close();
      await home.drop();
    },
  });
}

/** A valid schedule, hourly. */
export function scout(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name,
    action: "scout.trigger",
    payload: { source: "stratninja", max_strategies: 5 },
    timing: { kind: "cron", expression: "0 * * * *" },
    ...more,
  };
}
