import { isDeepStrictEqual } from "node:util";
import { isObject } from "./changes.ts";
import { type ActionDefaults, type Document, defaultsOf } from "./full-schedule.ts";

/**
 * The shortest document that means the same as this full one: fields that hold what they would hold anyway are left
 * out, the others come in an order that never changes.
 */
export function minimalSchedule(full: Document, action: ActionDefaults): Document {
  const defaults: Document = defaultsOf(action);
  const { name, description, action: what, timing, ...rest } = full;
  const { enabled, labels, action_version, payload, targets, ...policies } = rest;
  const ordered = { name, description, enabled, labels, action: what, action_version, payload, targets };
  const minimal: Record<string, unknown> = {};
  for (const [field, value] of Object.entries({ ...ordered, timing, ...policies })) {
    const short = field === "timing" ? minimalTiming(value as Document) : differing(field, value, defaults[field]);
    if (short !== undefined) minimal[field] = short;
  }
  return minimal;
}

function differing(field: string, value: unknown, initial: unknown): unknown {
  if (isDeepStrictEqual(value, initial)) return undefined;
  // None, although the action has a default.
  if (field === "heartbeat_seconds" && value === null) return 0;
  if (!isObject(value) || !isObject(initial) || field === "payload" || field === "labels") return value;
  const parts = Object.entries(value).filter(([name, part]) => !isDeepStrictEqual(part, initial[name]));
  return Object.fromEntries(parts);
}

function minimalTiming({ timezone, ...timing }: Document): Document {
  return timezone === undefined || timezone === "UTC" ? timing : { ...timing, timezone };
}
