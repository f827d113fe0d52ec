/** The conditions of a query that is composed at run time. Every value is a parameter; only the code's own text is SQL. */
export interface Conditions {
  /** `$?` in the text stands for the value. */
  add(condition: string, value: unknown): void;
  /** A parameter's name, for use outside the conditions (LIMIT). */
  parameter(value: unknown): string;
  /** `WHERE …`, or nothing. */
  readonly where: string;
  readonly values: readonly unknown[];
}

export function conditions(): Conditions {
  const parts: string[] = [];
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  return {
    add(condition, value) {
      const name = condition.includes("$?") ? parameter(value) : "";
      parts.push(condition.replaceAll("$?", name));
    },
    parameter,
    get where() {
      return parts.length === 0 ? "" : `WHERE ${parts.map((part) => `(${part})`).join(" AND ")}`;
    },
    values,
  };
}

/** Text as a LIKE pattern that finds it anywhere. */
export function containing(text: string): string {
  return `%${text.replace(/[\\%_]/g, "\\$&")}%`;
}
