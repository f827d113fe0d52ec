/** One thing wrong with one field. `field` is the column's name, with a dotted path below it (`payload.max_strategies`). */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** What a user wrote cannot be used. Carries every field at fault, so that one round trip is enough to mend it. */
export class InvalidInput extends Error {
  readonly errors: readonly FieldError[];

  constructor(errors: readonly FieldError[]) {
    super(errors.map((error) => `${error.field}: ${error.message}`).join("; "));
    this.name = "InvalidInput";
    this.errors = errors;
  }
}

/** What was asked for is not there. The message names it. */
export class NotFound extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NotFound";
  }
}

/** What was asked for cannot be done to a thing in its present state, which the error carries. */
export class Conflict extends Error {
  readonly state: Readonly<Record<string, unknown>>;

  constructor(message: string, state: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = "Conflict";
    this.state = state;
  }
}

/** The caller decided on the ground of a revision that is no longer the current one, or of there being none. */
export class StaleRevision extends Error {
  readonly revision: number;

  constructor(revision: number, expected?: "absent") {
    super(
      expected === "absent"
        ? `it is there already, with revision ${revision}`
        : `the revision is ${revision} by now: somebody has changed it since`,
    );
    this.name = "StaleRevision";
    this.revision = revision;
  }
}

/** Something the service needs is away or too busy; the same request may succeed in a moment. */
export class Unavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Unavailable";
  }
}
