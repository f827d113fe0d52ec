import { readFile } from "node:fs/promises";
import { UNHINDERED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { FaultInstance, World } from "./world.ts";

/* What the service holds in memory while the broker is away and schedules fall due: nothing that grows. */

/** One minute in the full run; FAULTS_OUTAGE_MINUTES=10 makes it the ten of the table, and the run so much longer. */
const MINUTES = Number(process.env.FAULTS_OUTAGE_MINUTES ?? 1);
const OUTAGE_S = MINUTES * 60;
/** What the garbage collector may leave lying about, MB. */
const SLACK_MB = 30;

scenario({
  name: `memory stays flat while the broker is away for ${MINUTES} min and schedules fall due`,
  plan: UNHINDERED,
  seconds: OUTAGE_S + 2,
  settle_seconds: 60 + OUTAGE_S,
  async fault(world) {
    await world.at(2);
    for (const { toBroker } of world.instances) toBroker.refuse();
    // By then the pools, lanes and caches of a working instance are what they are going to be.
    await world.at(20);
    const before = await residentMegabytes(world);
    const most = [...before];
    for (let at = 22; at <= OUTAGE_S; at += 2) {
      await world.at(at);
      for (const [index, size] of (await residentMegabytes(world)).entries())
        most[index] = Math.max(most[index]!, size);
    }
    const after = await residentMegabytes(world);
    const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM runs WHERE status = 'pending'");
    for (const { toBroker } of world.instances) toBroker.resume();
    const figures = `${before.join(" and ")} at 20 s, ${most.join(" and ")} at most, ${after.join(" and ")} at the end`;
    console.log(`resident memory, MB: ${figures}; ${row!.n} runs pending`);
    if (most.some((size, index) => size > before[index]! + SLACK_MB)) throw new Error(`it has grown: ${figures}`);
  },
  expectations: { delay: OUTAGE_S + 30 },
});

const residentMegabytes = (world: World) => Promise.all(world.instances.map(residentSize));

async function residentSize({ pid }: FaultInstance): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1_024);
}
