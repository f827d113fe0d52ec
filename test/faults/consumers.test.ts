import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { DeliveryRecord, LedgerConsumer, ReportRecord } from "../support/ledger-consumer.ts";
import { APART, CAPPED, ITEM } from "./contracts.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { World } from "./world.ts";

/* 17. A consumer killed while it works. */

const MORTAL = fileURLToPath(new URL("mortal-consumer.ts", import.meta.url));
const GUARDED = MIXED.slice(0, 1).map((planned) => ({
  ...planned,
  columns: { ...planned.columns, heartbeat_seconds: 4, retry_backoff_seconds: 1, max_attempts: 5 },
}));

scenario({
  name: "17 a consumer killed (kill -9) in the middle of its runs",
  together: true,
  plan: GUARDED,
  start: async (world) => void (await Promise.all([world.startInstance("a"), world.startInstance("b")])),
  async fault(world) {
    const mortal = startMortal(world);
    await world.at(5);
    await mortal.kill();
    world.startConsumer();
  },
  settle_seconds: 90,
  async check(world) {
    const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM run_attempts");
    if (row!.n === 0) throw new Error("nothing that the consumer had acknowledged was given up");
  },
});

function startMortal(world: World) {
  const queues = [ITEM, CAPPED, APART].map(world.work);
  const child = fork(MORTAL, [world.servers.amqpUrl, world.prefix, ...queues], { execArgv: ["--import", "tsx"] });
  const deliveries: DeliveryRecord[] = [];
  const reports = new Map<string, ReportRecord>();
  child.on("message", (message: { delivery?: DeliveryRecord; reports?: ReportRecord[] }) => {
    if (message.delivery !== undefined) deliveries.push(message.delivery);
    for (const report of message.reports ?? []) reports.set(report.mark, report);
  });
  const record = {
    deliveries,
    get reports() {
      return [...reports.values()];
    },
    busy: 0,
    close: async () => void child.kill("SIGKILL"),
  };
  (world.consumers as LedgerConsumer[]).push(record as unknown as LedgerConsumer);
  return {
    async kill() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
