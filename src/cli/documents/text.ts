import { stringify } from "yaml";
import type { Document } from "./full-schedule.ts";

const HEADER = `# Schedules of Pocketwatch: \`pocketwatch import <this file>\` makes the service have them.
# What is not said is left to the action, then to the service. \`defaults\` applies to every schedule below.
`;

/** A file for `import`. The same schedules always give the same text, so that it can live in git. */
export function exportText(schedules: readonly Document[]): string {
  const parts = schedules.map((schedule) => yaml([schedule]));
  const list = parts.length === 0 ? "schedules: []\n" : `schedules:\n${parts.map(indent).join("\n")}`;
  return `${HEADER}\ndefaults: {}\n\n${list}`;
}

export function yaml(value: unknown): string {
  // Folded lines would move with every word; anchors are for programs; other languages' YAML still reads 17:30 as 1050.
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, compat: "yaml-1.1" });
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
