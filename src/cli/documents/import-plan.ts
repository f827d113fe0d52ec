import { isDeepStrictEqual } from "node:util";
import type { Occurrences, Schedule } from "../answers.ts";
import type { Client } from "../client.ts";
import { CommandFailed, EXIT, type FieldProblem } from "../failures.ts";
import { changedFields, type FieldChange } from "./changes.ts";
import type { Contracts } from "./contracts.ts";
import { nameOf } from "./export.ts";
import { type Document, fromAnswer, fullSchedule } from "./full-schedule.ts";
import { at } from "./import-file.ts";

/** What an import does to one schedule. */
export interface Step {
  readonly name: string;
  readonly change: "added" | "changed" | "removed" | "unchanged";
  readonly fields: readonly FieldChange[];
  /** What is put; null: nothing. */
  readonly body: Document | null;
  /** What it was decided on. */
  readonly revision: number | null;
}

export interface ImportPlan {
  /** In an order in which dependencies are there before they are named; removals come last. */
  readonly steps: readonly Step[];
  /** Schedules that the file does not have, and that stay. */
  readonly kept: number;
}

/** Compares what a file wants with what is there. Asks nothing of the service but what was read already. */
export function planImport(
  wanted: readonly Document[],
  present: readonly Schedule[],
  contracts: Contracts,
  prune: boolean,
): ImportPlan {
  const before = new Map(present.map((schedule) => [schedule.name, schedule]));
  const name = nameOf(present);
  const named = (idOrName: unknown) => name(String(idOrName));
  const steps = inDependencyOrder(wanted, named).map((document): Step => {
    const body: Document = { ...document, depends_on: ((document.depends_on ?? []) as unknown[]).map(named) };
    const own = String(document.name);
    const there = before.get(own);
    const defaults = contracts.defaultsOf(document.action, document.action_version);
    if (there === undefined) return { name: own, change: "added", fields: [], body, revision: null };
    const fields = changedFields(fullSchedule(fromAnswer(there, name)), fullSchedule(body, defaults));
    const change = fields.length === 0 ? "unchanged" : "changed";
    return { name: own, change, fields, body: change === "unchanged" ? null : body, revision: there.revision };
  });
  const names = new Set(wanted.map((document) => document.name));
  const missing = present.filter((schedule) => !names.has(schedule.name));
  if (!prune) return { steps, kept: missing.length };
  const removals = missing.map((schedule): Step => {
    return { name: schedule.name, change: "removed", fields: [], body: null, revision: schedule.revision };
  });
  return { steps: [...steps, ...removals], kept: 0 };
}

/** As the file has them, but each after those it depends on. A circle is left to the service, which refuses it. */
function inDependencyOrder(wanted: readonly Document[], named: (idOrName: unknown) => string): Document[] {
  const byName = new Map(wanted.map((document) => [String(document.name), document]));
  const ordered = new Set<Document>();
  const visited = new Set<Document>();
  const visit = (document: Document) => {
    if (visited.has(document)) return;
    visited.add(document);
    for (const dependency of (document.depends_on ?? []) as unknown[]) {
      const other = byName.get(named(dependency));
      if (other !== undefined) visit(other);
    }
    ordered.add(document);
  };
  for (const document of wanted) visit(document);
  return [...ordered];
}

/** Everything the service would refuse, as far as that can be known before anything is changed. */
export async function checkPlan(
  client: Client,
  { steps }: ImportPlan,
  present: readonly Schedule[],
  contracts: Contracts,
): Promise<FieldProblem[]> {
  const removed = new Set(steps.flatMap(({ change, name }) => (change === "removed" ? [name] : [])));
  const known = new Set([...present.map(({ name }) => name), ...steps.map(({ name }) => name)]);
  const problems: FieldProblem[] = [];
  for (const { name, body, fields, change } of steps) {
    if (body === null) continue;
    const defaults = contracts.defaultsOf(body.action, body.action_version);
    const { action, action_version, payload, depends_on, timing, pool } = fullSchedule(body, defaults);
    const found = await contracts.check(String(action), Number(action_version), payload);
    if (!contracts.knowsPool(pool)) found.push({ field: "pool", message: `there is no pool ${JSON.stringify(pool)}` });
    for (const dependency of depends_on as string[]) {
      const message = removed.has(dependency) ? "is removed by --prune" : "there is no such schedule";
      if (removed.has(dependency) || !known.has(dependency)) {
        found.push({ field: "depends_on", message: `${JSON.stringify(dependency)}: ${message}` });
      }
    }
    const retimed = change === "added" || fields.some(({ field }) => field.startsWith("timing."));
    if (retimed) found.push(...(await checkTiming(client, name, timing as Document)));
    problems.push(...found.map((problem) => at(name, problem)));
  }
  // A schedule that stays as it is may depend on one that goes.
  for (const schedule of present.filter(({ name }) => !removed.has(name))) {
    const step = steps.find(({ name }) => name === schedule.name);
    if (step !== undefined && step.body !== null) continue;
    for (const other of present) {
      if (!removed.has(other.name) || !schedule.depends_on.includes(other.id)) continue;
      const message = `${JSON.stringify(other.name)}: is removed by --prune`;
      problems.push(at(schedule.name, { field: "depends_on", message }));
    }
  }
  return problems;
}

// The service itself is asked: it is its cron dialect and its time zones that count.
async function checkTiming(client: Client, name: string, timing: Document): Promise<readonly FieldProblem[]> {
  try {
    const { occurrences } = await client.post<Occurrences>("/v1/schedules/preview", { name, timing, count: 1 });
    if (timing.kind === "once" && isDeepStrictEqual(occurrences, [])) {
      return [{ field: "timing.at", message: "lies in the past, so that the schedule would never fire" }];
    }
    return [];
  } catch (error) {
    if (error instanceof CommandFailed && error.exit === EXIT.failed && error.fields.length > 0) return error.fields;
    throw error;
  }
}
