import { median } from "./figures.ts";

/** One figure of a benchmark, as it was in each round. */
export interface Figure {
  readonly benchmark: string;
  /** What was measured, in words. */
  readonly figure: string;
  /** "ms", "runs/s", "MB", … A unit that ends in "/s" is a rate: more is better. */
  readonly unit: string;
  readonly rounds: readonly number[];
  /** The floor in the same rounds, in the same unit. */
  readonly floor?: readonly number[] | undefined;
  /** What has to be reached: by the median, or by the ratio to the floor. */
  readonly limit?: Limit | undefined;
}

export interface Limit {
  readonly of: "median" | "ratio";
  readonly value: number;
}

/** A figure as it is printed, one line of JSON each. */
export interface Line {
  readonly benchmark: string;
  readonly figure: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: readonly number[];
  readonly floor: number | null;
  /** How many times the floor's cost; the median of the rounds' ratios. */
  readonly ratio: number | null;
  readonly limit: string | null;
  readonly ok: boolean | null;
}

/** Prints a figure as a line of JSON; a limit that is missed makes the process end with 1. */
export function report(figure: Figure): Line {
  const line = toLine(figure);
  console.log(JSON.stringify(line));
  if (line.ok === false) process.exitCode = 1;
  return line;
}

function toLine({ benchmark, figure, unit, rounds, floor, limit }: Figure): Line {
  if (rounds.length === 0) throw new Error(`${benchmark}, ${figure}: nothing was measured`);
  const rate = unit.endsWith("/s");
  const ratios = floor?.map((value, round) => (rate ? value / rounds[round]! : rounds[round]! / value));
  const ratio = ratios === undefined ? null : median(ratios);
  const middle = median(rounds);
  // A ratio is one of costs, so that less is better in it whatever the unit.
  const at_least = rate && limit?.of === "median";
  const measured = limit?.of === "ratio" ? ratio : middle;
  const words =
    limit && `${at_least ? "≥" : "≤"} ${limit.value.toLocaleString("en")}${limit.of === "ratio" ? " ×" : ""}`;
  return {
    benchmark,
    figure,
    unit,
    median: rounded(middle),
    min: rounded(Math.min(...rounds)),
    max: rounded(Math.max(...rounds)),
    rounds: rounds.map(rounded),
    floor: floor === undefined ? null : rounded(median(floor)),
    ratio: ratio === null ? null : rounded(ratio),
    limit: words ?? null,
    ok: limit === undefined ? null : at_least ? measured! >= limit.value : measured! <= limit.value,
  };
}

/** Three significant digits, or whole numbers where those are more. */
function rounded(value: number): number {
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(3));
}

/** Lines as a table for people. */
export function printTable(lines: readonly Line[]): void {
  const head = ["benchmark", "figure", "median", "min – max", "unit", "floor", "ratio", "limit", "ok"];
  const text = (value: number | null) => (value === null ? "" : value.toLocaleString("en"));
  const rows = lines.map((line) => [
    line.benchmark,
    line.figure,
    text(line.median),
    `${text(line.min)} – ${text(line.max)}`,
    line.unit,
    text(line.floor),
    text(line.ratio),
    line.limit ?? "",
    line.ok === null ? "" : line.ok ? "yes" : "NO",
  ]);
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)));
  for (const row of [head, widths.map((width) => "-".repeat(width)), ...rows]) {
    console.log(`| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`);
  }
}
