import type { Run } from "./api.ts";

const colours: Record<string, number> = { completed: 32, failed: 31, cancelled: 33, skipped: 33, running: 36 };
const inColour = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const paint = (colour: number | undefined, text: string) =>
  inColour && colour !== undefined ? `\x1b[${colour}m${text}\x1b[0m` : text;

/** Turns what the service says of its runs into one line per change. */
export class RunDisplay {
  readonly #seen = new Map<string, string>();

  /** Runs that are not to be shown unless they change: what an earlier start has left. */
  ignore(runs: readonly Run[]): void {
    for (const run of runs) this.#seen.set(run.id, stateOf(run));
  }

  /** Lines for what changed since the last time; runs as the service lists them, newest first. */
  changes(runs: readonly Run[]): string[] {
    const changed = runs.filter((run) => this.#seen.get(run.id) !== stateOf(run)).reverse();
    this.ignore(changed);
    return changed.map(line);
  }
}

const stateOf = (run: Run) => JSON.stringify([run.status, run.attempt, run.progress, run.status_reason]);

function line(run: Run): string {
  const time = new Date().toLocaleTimeString("en-GB");
  // An id begins with its time, so it is by its end that runs are told apart.
  const name = `${(run.schedule_name ?? run.action).padEnd(24)} ${run.id.slice(-6)}`;
  return `${paint(90, time)}  ${name}  ${paint(colours[run.status], run.status.padEnd(10))} ${details(run)}`.trimEnd();
}

function details(run: Run): string {
  const parts = [];
  if (run.attempt > 1) parts.push(`attempt ${run.attempt}`);
  if (run.status === "running" && run.progress !== null) parts.push(`${Math.round(run.progress)} %`);
  if (run.status === "running" && run.progress_message !== null) parts.push(run.progress_message);
  if (run.status === "completed")
    parts.push(...Object.entries(run.metrics ?? {}).map(([name, value]) => `${name} ${value}`));
  if (run.status_reason !== null) parts.push(run.status_reason);
  if (run.error_message !== null) parts.push(run.error_message);
  return parts.join(" · ");
}

const LEVELS: Record<number, string> = { 40: "warning", 50: "error", 60: "fatal" };

/** A line of the service's log for people, or null if it is nothing to stop for. */
export function worthShowing(logLine: string): string | null {
  let entry: { level?: number; msg?: string; err?: { message?: string } };
  try {
    entry = JSON.parse(logLine);
  } catch {
    return null; // a crash's stack, which is shown when the service has ended
  }
  const level = LEVELS[entry.level ?? 0];
  if (level === undefined) return null;
  const cause = entry.err?.message === undefined ? "" : `: ${entry.err.message}`;
  return paint(33, `service: ${level}: ${entry.msg}${cause}`);
}
