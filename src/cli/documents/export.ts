import type { Command } from "commander";
import type { Schedule } from "../answers.ts";
import { examples } from "../help.ts";
import { list, several } from "../option-values.ts";
import type { OpenSession } from "../program.ts";
import type { Session } from "../session.ts";
import { type Contracts, readContracts } from "./contracts.ts";
import { type Document, fromAnswer, fullSchedule } from "./full-schedule.ts";
import { minimalSchedule } from "./minimal.ts";
import { exportText } from "./text.ts";

const EVERYTHING = 1_000_000;

/** `pocketwatch export`. */
export function addExport(program: Command, open: OpenSession): void {
  program
    .command("export")
    .description("write schedules as YAML, for git and for `import`")
    .option("-o, --output <file>", "instead of standard output")
    .option("--label <name[=value]>", "only those that carry it; several: all of them", several)
    .option("--state <states>", "only active, paused, disabled, finished or problem", list)
    .addHelpText(
      "after",
      `
By name, always in the same order, only what differs from the defaults. Pauses
and what the service keeps (counters, last runs) are no part of it.
${examples(["pocketwatch export -o schedules.yaml"], ["pocketwatch export --label team=ops --state active,paused"])}`,
    )
    .action(async ({ output, label, state }: { output?: string; label?: string[]; state?: string[] }) => {
      const session = open();
      const { client, around } = session;
      const all = await everySchedule(session);
      const filtered = label ?? state;
      const wanted = filtered
        ? (await client.list<Schedule>("/v1/schedules", { label, state: state?.join(",") }, EVERYTHING)).items
        : all;
      const contracts = await readContracts(client);
      const documents = wanted.map((schedule) => toDocument(schedule, nameOf(all), contracts));
      const content = session.json ? `${JSON.stringify({ schedules: documents }, null, 2)}\n` : exportText(documents);
      if (output === undefined) return around.out.write(content);
      await around.writeFile(output, content);
      around.err.write(`${documents.length} schedules are written to ${output}\n`);
    });
}

/** All of them, in the order of their names. */
export async function everySchedule({ client }: Session): Promise<readonly Schedule[]> {
  const { items } = await client.list<Schedule>("/v1/schedules", {}, EVERYTHING);
  return items;
}

export function nameOf(all: readonly Schedule[]): (id: string) => string {
  const names = new Map(all.map(({ id, name }) => [id, name]));
  return (id) => names.get(id) ?? id;
}

/** As short as it can be said. */
export function toDocument(schedule: Schedule, name: (id: string) => string, contracts: Contracts): Document {
  const defaults = contracts.defaultsOf(schedule.action, schedule.action_version);
  return minimalSchedule(fullSchedule(fromAnswer(schedule, name), defaults), defaults);
}
