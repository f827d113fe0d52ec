import { readFileSync } from "node:fs";
import { descendants } from "../../dev/services/process-tree.ts";

/** `getconf CLK_TCK`, which is 100 on every Linux. */
const TICKS_PER_SECOND = 100;

export type Part = "service" | "postgres" | "broker" | "others";

/**
 * Processor seconds used so far by the benchmark's children, from /proc: the service, Postgres (all its processes), the
 * broker, and what plays the consumers. Differences of two calls say who was busy in between.
 */
export async function cpuSeconds(service: number): Promise<Record<Part, number>> {
  const used: Record<Part, number> = { service: 0, postgres: 0, broker: 0, others: 0 };
  for (const pid of await descendants(process.pid)) {
    const stat = read(`/proc/${pid}/stat`);
    if (stat === null) continue;
    const [, name] = stat.match(/\((.*)\)/)!;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    const part = pid === service ? "service" : name === "postgres" ? "postgres" : isBroker(name!) ? "broker" : "others";
    used[part] += seconds;
  }
  return used;
}

/** What of a processor each part used between two readings, in cores. */
export function cores(before: Record<Part, number>, after: Record<Part, number>, seconds: number) {
  const share = (part: Part) => Number(((after[part] - before[part]) / seconds).toFixed(3));
  return { service: share("service"), postgres: share("postgres"), broker: share("broker"), others: share("others") };
}

/** Resident memory of a process, MB (10^6 bytes). */
export function residentMegabytes(pid: number): number {
  const [, kilobytes] = read(`/proc/${pid}/status`)!.match(/VmRSS:\s+(\d+) kB/)!;
  return (Number(kilobytes) * 1_024) / 1_000_000;
}

const isBroker = (name: string) => /^(beam|erl|epmd|inet_gethost|rabbit)/.test(name);

function read(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null; // it has ended meanwhile
  }
}
