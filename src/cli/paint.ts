import type { Output } from "./surroundings.ts";

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Colour = keyof typeof CODES;

export function paint(output: Output, colour: Colour | null, text: string): string {
  return output.colour && colour !== null && text !== "" ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;
}

const STATES: Readonly<Record<string, Colour>> = {
  ...{ active: "green", completed: "green", running: "cyan", dispatched: "cyan" },
  ...{ failed: "red", problem: "red", open: "red" },
  ...{ paused: "yellow", skipped: "yellow", cancelled: "yellow", waiting: "yellow", drained: "yellow" },
};

/** The colour of a state or status, also of one with its reason ("failed: timeout"). */
export function colourOf(state: string): Colour | null {
  return STATES[state.split(":", 1)[0]!] ?? null;
}
