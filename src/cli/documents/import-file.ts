import { check } from "../../contracts/parse.ts";
import { newSchedule } from "../../http/schedule-body.ts";
import type { FieldProblem } from "../failures.ts";
import { isObject } from "./changes.ts";
import type { Document } from "./full-schedule.ts";

/** What a file asks for, its defaults worked in. `problems` name the schedule or the place at fault. */
export interface ImportFile {
  readonly schedules: readonly Document[];
  readonly problems: readonly FieldProblem[];
}

/** Reads `{ defaults, schedules }` or a plain list, and checks everything that can be checked without the service. */
export function readImportFile(content: unknown): ImportFile {
  const { defaults = {}, schedules, ...unknown } = isObject(content) ? content : { schedules: content };
  const problems: FieldProblem[] = Object.keys(unknown).map((field) => ({ field, message: "unknown field" }));
  if (defaults !== null && !isObject(defaults)) problems.push({ field: "defaults", message: "expected fields" });
  if (isObject(defaults) && "name" in defaults) {
    problems.push({ field: "defaults.name", message: "every schedule needs a name of its own" });
  }
  if (!Array.isArray(schedules)) {
    problems.push({ field: "schedules", message: "expected a list of schedules" });
    return { schedules: [], problems };
  }
  const names = new Set<unknown>();
  const read = schedules.map((schedule: unknown, index): Document => {
    const place = isObject(schedule) && typeof schedule.name === "string" ? schedule.name : `schedules.${index}`;
    const complete = isObject(schedule) && isObject(defaults) ? withDefaults(defaults, schedule) : schedule;
    const checked = check(newSchedule as never, complete, "");
    if (!checked.ok) problems.push(...checked.errors.map((error) => at(place, error)));
    if (!isObject(complete)) return {};
    if (names.has(complete.name)) problems.push(at(place, { field: "name", message: "is there twice" }));
    names.add(complete.name);
    if (isObject(complete.timing) && complete.timing.time != null) {
      const message = "means another instant each time the file is imported: write an instant as `at`";
      problems.push(at(place, { field: "timing.time", message }));
    }
    return complete;
  });
  return { schedules: read, problems };
}

/** A problem of one schedule of many. */
export function at(name: string, { field, message }: FieldProblem): FieldProblem {
  return { field: `${JSON.stringify(name)} ${field}`, message };
}

// A zone for all must not spoil the schedules that have none.
const ZONED = ["timezone", "dst_gap", "dst_fold"];

/** Objects are merged field by field, at every depth; null takes a default away again; all else replaces. */
export function withDefaults(defaults: Document, schedule: Document): Document {
  const merged = merge(defaults, schedule);
  const own = isObject(schedule.timing) ? schedule.timing : {};
  if (!isObject(merged.timing) || !["interval", "event", "manual", "once"].includes(String(merged.timing.kind))) {
    return merged;
  }
  const kept = Object.entries(merged.timing).filter(([field]) => !ZONED.includes(field) || field in own);
  return { ...merged, timing: Object.fromEntries(kept) };
}

function merge(defaults: Document, own: Document): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [field, value] of Object.entries(own)) {
    const below = merged[field];
    merged[field] = isObject(below) && isObject(value) ? merge(below, value) : value;
    // Within labels or a payload, null says that the default's entry is not wanted.
    if (value === null && field in defaults) delete merged[field];
  }
  return merged;
}
