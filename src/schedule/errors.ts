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
