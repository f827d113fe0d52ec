import { type Colour, paint } from "./paint.ts";
import { pad, printable, shorten, width, wrap } from "./printable.ts";
import type { Output } from "./surroundings.ts";

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly colour?: (row: Row) => Colour | null;
  /** How narrow it may become on a narrow terminal; absent: it is shown whole, because it is copied. */
  readonly least?: number;
  readonly align?: "right";
}

const GAP = "  ";

/** Rows in aligned columns: as wide as the terminal at most, and in a pipe as wide as it takes. */
export function table<Row>(output: Output, columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row)) || "-"));
  const natural = columns.map(({ title }, index) =>
    Math.max(width(title), ...cells.map((line) => width(line[index]!))),
  );
  const widths = fitWidths(natural, columns, output.columns);
  const line = (texts: readonly string[], colours: readonly (Colour | null)[]) =>
    texts
      .map((text, index) => {
        const room = widths[index]!;
        const short = shorten(text, room);
        const painted = paint(output, colours[index] ?? null, short);
        const space = " ".repeat(Math.max(0, room - width(short)));
        return columns[index]!.align === "right" ? space + painted : painted + space;
      })
      .join(GAP)
      .trimEnd();
  const titles = columns.map(({ title }) => title);
  return [
    line(
      titles,
      titles.map(() => "dim" as const),
    ),
    ...cells.map((texts, index) =>
      line(
        texts,
        columns.map((column) => column.colour?.(rows[index]!) ?? null),
      ),
    ),
  ]
    .map((text) => `${text}\n`)
    .join("");
}

/** Takes from the widest column that may shrink, until all of them fit. */
function fitWidths(natural: readonly number[], columns: readonly Column<never>[], room: number | null): number[] {
  const widths = [...natural];
  if (room === null) return widths;
  let over = widths.reduce((sum, one) => sum + one, GAP.length * (widths.length - 1)) - room;
  for (; over > 0; over -= 1) {
    let widest = -1;
    for (const [index, { least }] of columns.entries()) {
      const canShrink = least !== undefined && widths[index]! > Math.max(least, 1);
      if (canShrink && (widest === -1 || widths[index]! > widths[widest]!)) widest = index;
    }
    if (widest === -1) break;
    widths[widest]! -= 1;
  }
  return widths;
}

export type Fact = readonly [name: string, value: string | null, colour?: Colour | null];

/** Names and values below each other; what is null is left out. */
export function facts(output: Output, pairs: readonly Fact[]): string {
  const shown = pairs.filter(([, value]) => value !== null);
  const room = Math.max(...shown.map(([name]) => width(name)));
  return shown
    .map(([name, value, colour]) => {
      const space = output.columns === null ? Number.POSITIVE_INFINITY : output.columns - room - GAP.length;
      const lines = value!
        .split("\n")
        .flatMap((line) => wrap(printable(line), space))
        .map((line) => paint(output, colour ?? null, line));
      return `${paint(output, "dim", pad(name, room))}${GAP}${lines.join(`\n${" ".repeat(room)}${GAP}`)}\n`;
    })
    .join("");
}
