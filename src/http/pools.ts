import { z } from "zod";
import type { BreakerRecord, PoolRecord, PoolsApi } from "./api.ts";
import { answeredMoment, listOf, toIsoOrNull } from "./fields.ts";
import { page, pageOf, pageQuery } from "./paging.ts";
import { InvalidRequest } from "./problem.ts";
import { type Server, segmentIn } from "./request.ts";

const tags = ["pools"];
const params = z.object({ name: z.string() });

const poolAnswer = z
  .object({
    name: z.string(),
    max_in_flight: z.int().nullable().describe("null: any number"),
    drained: z.boolean(),
    in_flight: z.int().describe("Dispatched or running"),
    idle: z.int().nullable().describe("How many more may be in flight; null: any number"),
    waiting: z.object({ high: z.int(), normal: z.int(), low: z.int(), total: z.int() }),
  })
  .meta({ id: "Pool" });

function showPool({ high, normal, low, ...pool }: PoolRecord) {
  const { max_in_flight, in_flight } = pool;
  return {
    ...pool,
    idle: max_in_flight === null ? null : Math.max(0, max_in_flight - in_flight),
    waiting: { high, normal, low, total: high + normal + low },
  };
}

/** Caps on runs in flight. */
export function poolRoutes(server: Server, api: PoolsApi): void {
  server.get(
    "/v1/pools",
    {
      schema: {
        tags,
        summary: "List pools by name",
        querystring: z.strictObject(pageQuery),
        response: { 200: pageOf(poolAnswer) },
      },
    },
    ({ query }) =>
      page(
        query,
        (after, limit) => api.listPools(after ?? "", limit),
        (pool) => pool.name,
        showPool,
      ),
  );
  server.get(
    "/v1/pools/:name",
    { schema: { tags, summary: "A pool", params, response: { 200: poolAnswer } } },
    async ({ params: { name } }) => showPool(await api.getPool(segmentIn(name, "pool"))),
  );
  server.put(
    "/v1/pools/:name",
    {
      config: { scope: "admin" },
      schema: {
        tags,
        summary: "Make a pool, or change its cap",
        params,
        body: z.strictObject({ max_in_flight: z.int().min(0).max(2_147_483_647).nullable() }),
        response: { 200: poolAnswer, 201: poolAnswer },
      },
    },
    async (request, reply) => {
      const name = segmentIn(request.params.name, "pool");
      if ([...name].length > 255) {
        throw new InvalidRequest([{ field: "name", message: "must have at most 255 characters" }]);
      }
      const { pool, created } = await api.setPool(name, request.body.max_in_flight, request.actor);
      if (created) reply.code(201).header("location", `/v1/pools/${encodeURIComponent(name)}`);
      return showPool(pool);
    },
  );
  for (const verb of ["drain", "resume"] as const) {
    server.post(
      `/v1/pools/:name/${verb}`,
      {
        config: { scope: "admin" },
        schema: {
          tags,
          summary: verb === "drain" ? "Hand out no more runs of a pool" : "Hand out the runs of a pool again",
          params,
          body: z.strictObject({}),
          response: { 200: poolAnswer },
        },
      },
      async ({ params: { name }, actor }) =>
        showPool(await api.drainPool(segmentIn(name, "pool"), verb === "drain", actor)),
    );
  }
}

const breakerAnswer = z
  .object({
    key: z.string(),
    action: z.string(),
    state: z.enum(["closed", "open", "half_open"]),
    failures: z.int().describe("In a row"),
    threshold: z.int(),
    cooldown_seconds: z.int(),
    trips: z.int().describe("How often it has opened"),
    opened_at: answeredMoment.nullable(),
    probe_run_id: z.string().nullable().describe("The run that is tried while it is half open"),
    held: z.int().describe("Runs that wait for it"),
    updated_at: answeredMoment,
  })
  .meta({ id: "Breaker" });

function showBreaker(breaker: BreakerRecord) {
  return {
    ...breaker,
    opened_at: toIsoOrNull(breaker.opened_at),
    updated_at: toIsoOrNull(breaker.updated_at)!,
  };
}

/** Circuit breakers. */
export function breakerRoutes(server: Server, api: PoolsApi): void {
  server.get(
    "/v1/breakers",
    {
      schema: {
        tags: ["breakers"],
        summary: "List breakers by key",
        querystring: z.strictObject({
          state: listOf(z.enum(["closed", "open", "half_open"])).optional(),
          ...pageQuery,
        }),
        response: { 200: pageOf(breakerAnswer) },
      },
    },
    ({ query: { state, ...paging } }) =>
      page(
        paging,
        (after, limit) => api.listBreakers(after ?? "", limit, state ?? null),
        (breaker) => breaker.key,
        showBreaker,
      ),
  );
  server.post(
    "/v1/breakers/:key/reset",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["breakers"],
        summary: "Close a breaker by hand",
        params: z.object({ key: z.string() }),
        body: z.strictObject({}),
        response: { 200: breakerAnswer },
      },
    },
    async ({ params: { key }, actor }) => showBreaker(await api.resetBreaker(segmentIn(key, "breaker"), actor)),
  );
}
