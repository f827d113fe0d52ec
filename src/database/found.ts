/** A page of a list. */
export interface Found<Row> {
  readonly rows: readonly Row[];
  /** It stopped looking here, and further on there may be more; null: it looked to the end, or has all that was asked for. */
  readonly looked_to: string | null;
}

/**
 * Rows looked at for one page, where no index knows which of them a filter lets through. With a filter that lets through
 * one in ten thousand, a page would otherwise read the whole table: about a second for a million runs.
 */
export const MOST_LOOKED_AT = 5_000;

/** Rows of a query that says with each where it stopped looking; a row of nulls says nothing else. */
export function found<Row extends { readonly id: string }>(
  rows: readonly (Row & { readonly looked_to: string | null })[],
): Found<Row> {
  const looked_to = rows[0]?.looked_to ?? null;
  return {
    rows: rows.filter((row) => row.id !== null).map(({ looked_to: _, ...row }) => row as unknown as Row),
    looked_to,
  };
}
