import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { buildService, CHECKOUT } from "../../test/support/build.ts";
import { type BenchChild, runChild } from "./child.ts";
import type { BenchServices } from "./services.ts";

export const PREFIX = "bench";

/** The service as it is deployed, compiled, in a process of its own on the benchmark's servers; resolves once it is ready. */
export async function startService(services: BenchServices): Promise<BenchChild & { stop(): Promise<void> }> {
  const service = runChild(join(await buildService(CHECKOUT), "dist/main.js"), ["serve"], {
    DATABASE_URL: services.postgres.url,
    AMQP_URL: services.broker.url,
    TOPOLOGY_PREFIX: PREFIX,
    HTTP_PORT: "0",
  });
  let url = "";
  while (url === "") url = (JSON.parse(await service.line()) as { http?: string }).http ?? "";
  while (!(await fetch(`${url}/readyz`)).ok) await sleep(50);
  void report(service);
  return {
    ...service,
    async stop() {
      service.process.kill("SIGTERM");
      await new Promise((resolve) => service.process.once("exit", resolve));
    },
  };
}

async function report(service: BenchChild): Promise<void> {
  for (;;) {
    const line = await service.line().catch(() => null);
    if (line === null) return;
    if (!line.includes('"level":30')) console.error(line.slice(0, 1_000));
  }
}
