import { isDeepStrictEqual } from "node:util";
import type { Document } from "./full-schedule.ts";

export interface FieldChange {
  /** `timing.expression` */
  readonly field: string;
  /** null also where there was, or will be, nothing. */
  readonly before: unknown;
  readonly after: unknown;
}

/** What differs between two schedules that were filled up by `fullSchedule`, field by field, in the order of the first. */
export function changedFields(before: Document, after: Document, above = ""): FieldChange[] {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return fields.flatMap((name): FieldChange[] => {
    const [was, becomes] = [before[name] ?? null, after[name] ?? null];
    if (isDeepStrictEqual(was, becomes)) return [];
    const field = `${above}${name}`;
    if (isObject(was) && isObject(becomes)) return changedFields(was, becomes, `${field}.`);
    return [{ field, before: was, after: becomes }];
  });
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
