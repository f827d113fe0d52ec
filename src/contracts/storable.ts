/** Where a value cannot be kept, and why. */
export interface Flaw {
  readonly path: (string | number)[];
  readonly why: string;
}

// jsonb refuses deep nesting with a stack error, and JSON.stringify overflows: neither says which message was at fault.
const MAX_DEPTH = 64;
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * The first part of a parsed JSON value that Postgres would refuse, so that the message at fault is refused alone
 * and in words, instead of failing the whole batch it is written with.
 */
export function findUnstorable(value: unknown): Flaw | null {
  return inspect(value, [], 0);
}

/** Why this text cannot be stored, or `null`. */
export function unstorableText(text: string): string | null {
  if (text.includes("\0")) return "must not contain the character \\u0000";
  if (LONE_SURROGATE.test(text)) return "must be well-formed Unicode (half of a surrogate pair found)";
  return null;
}

function inspect(value: unknown, path: (string | number)[], depth: number): Flaw | null {
  if (typeof value === "string") {
    const why = unstorableText(value);
    return why === null ? null : { path, why };
  }
  if (typeof value === "number") {
    // JSON.parse reads 1e400 as Infinity, which would come back as null.
    return Number.isFinite(value) ? null : { path, why: "must be a finite number" };
  }
  if (typeof value !== "object" || value === null) return null;
  if (depth === MAX_DEPTH) return { path, why: `must not be nested deeper than ${MAX_DEPTH} levels` };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const flaw = inspect(value[index], [...path, index], depth + 1);
      if (flaw) return flaw;
    }
    return null;
  }
  for (const key of Object.keys(value)) {
    const why = unstorableText(key);
    if (why !== null) return { path, why: `field names ${why}` };
    const flaw = inspect((value as Record<string, unknown>)[key], [...path, key], depth + 1);
    if (flaw) return flaw;
  }
  return null;
}
