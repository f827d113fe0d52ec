import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { buildProgram } from "../../../src/cli/program.ts";
import type { Surroundings } from "../../../src/cli/surroundings.ts";
import { pocketwatch } from "./fake-surroundings.ts";

const still = { write: () => {}, columns: null, colour: false };
const program = buildProgram({ out: still, err: still, version: "0" } as unknown as Surroundings);

function leaves(command: Command, path: readonly string[]): string[][] {
  if (command.commands.length === 0) return [[...path]];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}
const COMMANDS = leaves(program, []);

/** The command lines below `Examples:`, as a shell would hand them over. */
function examplesOf(help: string): string[][] {
  const [, shown = ""] = help.split("\nExamples:\n");
  return shown
    .replaceAll("\\\n", " ")
    .split("\n")
    .map((line) => line.replace(/ # .*$/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const call = /pocketwatch (?<argv>.*?)(?: [|>] .*|\))?$/.exec(line)?.groups?.argv ?? `not one: ${line}`;
      return [...call.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
    });
}

const FILES = {
  "today.json": "{}",
  "nightly.yaml": "{ name: nightly, action: a, timing: { kind: manual } }",
  "schedules.yaml": "schedules: []",
  "-": "schedules: []",
};

describe("help", () => {
  test.each(COMMANDS.map((path) => [path.join(" "), path] as const))("%s", async (_name, path) => {
    const help = await pocketwatch({}, ...path, "--help");
    expect(help).toMatchObject({ exit: 0, err: "" });
    const examples = examplesOf(help.out);
    expect(examples.length).toBeGreaterThan(0);
    for (const argv of examples) {
      expect(argv.slice(0, path.length)).toEqual(path);
      const { err, exit } = await pocketwatch(
        {
          answer: () => [404, { title: "There is no such thing" }],
          files: FILES,
          input: "schedules: []",
          edit: (text) => text,
        },
        ...argv,
      );
      expect([0, 4], `${argv.join(" ")}: ${err}`).toContain(exit);
    }
  });

  test("what a person needs first is found from the top", async () => {
    const { out } = await pocketwatch({}, "--help");
    for (const argv of examplesOf(out)) {
      expect(COMMANDS.map((path) => path.join(" "))).toContain(argv.slice(0, 2).join(" "));
    }
  });
});
