import type { Command } from "commander";
import type { Action, Actions, Reloaded } from "./answers.ts";
import { CommandFailed, EXIT } from "./failures.ts";
import { examples } from "./help.ts";
import { colourOf } from "./paint.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import type { Session } from "./session.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Column } from "./table.ts";

/** `pocketwatch serve, migrate, actions, reload`. */
export function addServiceCommands(program: Command, around: Surroundings, open: OpenSession): void {
  program
    .command("serve")
    .description("run the service until SIGINT or SIGTERM")
    .addHelpText(
      "after",
      `
Configured by the environment: DATABASE_URL, AMQP_URL and what the README lists.
${examples(["DATABASE_URL=postgres://… AMQP_URL=amqp://… pocketwatch serve"])}`,
    )
    .action(() => around.serve());
  program
    .command("migrate")
    .description("apply pending migrations to DATABASE_URL, and end")
    .addHelpText("after", examples(["DATABASE_URL=postgres://… pocketwatch migrate"]))
    .action(() => around.migrate());
  program
    .command("actions")
    .description("what consumers can do, and who is there to do it")
    .argument("[action]", "only this one, with its defaults and the JSON Schema of its payload")
    .addHelpText("after", examples(["pocketwatch actions"], ["pocketwatch actions scout.trigger"]))
    .action((name: string | undefined) => showActions(open(), name));
  program
    .command("reload")
    .description("read the contracts again and plan schedules anew, on every instance")
    .option("--schedule <ids...>", "only these schedules, by id")
    .addHelpText("after", examples(["pocketwatch reload"]))
    .action(async ({ schedule }: { schedule?: string[] }) => {
      const session = open();
      const body = schedule === undefined ? {} : { schedule_ids: schedule };
      const reloaded = await session.client.post<Reloaded>("/v1/scheduler/reload", body);
      session.show(reloaded, describeReload);
      if (reloaded.problems.length > 0) throw new CommandFailed(EXIT.failed, "");
    });
}

async function showActions(session: Session, name: string | undefined): Promise<void> {
  const actions = await session.client.get<Actions>("/v1/actions");
  if (name === undefined) {
    session.showTable(actions, COLUMNS, "There are no actions.");
    for (const problem of actions.problems ?? [])
      session.say(`! ${inline(problem.action)}: ${inline(problem.message)}`);
    return;
  }
  const versions = actions.items.filter((action) => action.name === name);
  if (versions.length === 0) throw new CommandFailed(EXIT.not_found, `there is no action ${inline(name)}`);
  session.show({ items: versions }, () => versions.map((action) => describeAction(session, action)).join("\n"));
}

const COLUMNS: readonly Column<Action>[] = [
  { title: "ACTION", value: ({ name, version }) => `${name} v${version}` },
  { title: "POOL", value: ({ pool }) => pool ?? "default", least: 8 },
  { title: "QUEUED", value: ({ queue }) => String(queue.messages ?? "?"), align: "right" },
  {
    title: "CONSUMERS",
    value: ({ queue }) => String(queue.consumers ?? "?"),
    align: "right",
    colour: ({ queue }) => (queue.consumers === 0 ? colourOf("paused") : null),
  },
  { title: "WHAT", value: ({ title }) => title ?? "", least: 10 },
];

function describeAction(session: Session, action: Action): string {
  const defaults = Object.entries(action.defaults).map(([name, value]) => `${name} ${inline(value)}`);
  return session.facts([
    ["action", `${action.name} v${action.version}`, "bold"],
    ["title", action.title],
    ["description", action.description],
    ["queue", action.queue.name],
    ["queued", String(action.queue.messages ?? "?")],
    ["consumers", String(action.queue.consumers ?? "?")],
    ["pool", action.pool ?? "default"],
    ["defaults", defaults.length === 0 ? null : defaults.join("\n")],
    ["payload", JSON.stringify(action.schema, null, 2)],
  ]);
}

function describeReload({ instance, planned, problems }: Reloaded): string {
  const lines = problems.map(({ action, schedule_id, message }) => {
    return `! ${inline(action ?? schedule_id ?? "contracts")}: ${inline(message)}\n`;
  });
  return `${inline(instance)} has read its contracts again; ${planned} schedules are planned anew.\n${lines.join("")}`;
}
