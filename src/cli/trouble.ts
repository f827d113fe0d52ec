import type { Command } from "commander";
import type { Breaker, DeadLetter } from "./answers.ts";
import { at } from "./client.ts";
import { examples } from "./help.ts";
import { showMoment } from "./moments.ts";
import { list, whole } from "./option-values.ts";
import { colourOf } from "./paint.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import type { Column } from "./table.ts";

const EVERYTHING = 1_000_000;

/** `pocketwatch breakers, dead-letters`: what is held back because something keeps failing. */
export function addTrouble(program: Command, open: OpenSession): void {
  addBreakers(program, open);
  addDeadLetters(program, open);
}

function addBreakers(program: Command, open: OpenSession): void {
  const breakers = program.command("breakers").description("circuit breakers, and closing them").helpCommand(false);
  breakers
    .command("list")
    .description("breakers by key")
    .option("--state <states>", "closed, open or half_open", list)
    .addHelpText("after", examples(["pocketwatch breakers list --state open,half_open"]))
    .action(async ({ state }) => {
      const session = open();
      const page = await session.client.list<Breaker>("/v1/breakers", { state: state?.join(",") }, EVERYTHING);
      session.showTable(page, BREAKERS, "There are no such breakers.");
    });
  breakers
    .command("reset")
    .description("close a breaker by hand; what it holds goes on")
    .argument("<key>", "its key")
    .addHelpText("after", examples(["pocketwatch breakers reset crawl.run:example.com"]))
    .action(async (key: string) => {
      const session = open();
      const breaker = await session.client.post<Breaker>(at`/v1/breakers/${key}/reset`);
      session.show(breaker, () => `${inline(breaker.key)} is ${breaker.state}.\n`);
    });
}

function addDeadLetters(program: Command, open: OpenSession): void {
  const letters = program
    .command("dead-letters")
    .description("messages that nobody could handle, and handing them back")
    .helpCommand(false);
  letters
    .command("list")
    .description("the oldest of them")
    .option("--queue <queue>", "only those that were meant for this queue")
    .option("--limit <count>", "how many at most", whole(1), 50)
    .addHelpText("after", examples(["pocketwatch dead-letters list"], ["pocketwatch dead-letters list --json"]))
    .action(async (query) => {
      const session = open();
      const found = await session.client.get<{ items: readonly DeadLetter[] }>("/v1/dead-letters", query);
      session.showTable(found, LETTERS, "There are no dead letters.");
    });
  letters
    .command("requeue")
    .description("hand a dead letter to its queue again")
    .argument("<id>", "as `dead-letters list` shows it")
    .addHelpText("after", examples(["pocketwatch dead-letters requeue <id>"]))
    .action(async (id: string) => {
      const session = open();
      const letter = await session.client.post<DeadLetter>(at`/v1/dead-letters/${id}/requeue`);
      session.show(letter, () => `It lies in ${inline(letter.queue)} again.\n`);
    });
}

const BREAKERS: readonly Column<Breaker>[] = [
  { title: "KEY", value: ({ key }) => key },
  { title: "STATE", value: ({ state }) => state, colour: ({ state }) => colourOf(state) },
  { title: "FAILURES", value: ({ failures, threshold }) => `${failures}/${threshold}`, align: "right" },
  { title: "OPENED", value: ({ opened_at }) => (opened_at === null ? "" : showMoment(opened_at)) },
  { title: "TRIPS", value: ({ trips }) => String(trips), align: "right" },
  { title: "HELD", value: ({ held }) => String(held), align: "right" },
];

const LETTERS: readonly Column<DeadLetter>[] = [
  { title: "ID", value: ({ id }) => id },
  { title: "TYPE", value: ({ type }) => type ?? "", least: 8 },
  { title: "DIED", value: ({ died_at }) => (died_at === null ? "" : showMoment(died_at)) },
  { title: "REASON", value: ({ reason }) => reason ?? "", least: 8 },
];
