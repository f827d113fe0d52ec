import { type FieldError, InvalidInput } from "./errors.ts";

/** Runs one check; its faults join the others, so that a user learns all of them at once. */
export function collect<Value>(faults: FieldError[], check: () => Value): Value | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error;
    faults.push(...error.errors);
    return undefined;
  }
}

/** A single fault of a single field. */
export function fault(field: string, message: string): InvalidInput {
  return new InvalidInput([{ field, message }]);
}
