import type { Command } from "commander";
import type { Schedule } from "./answers.ts";
import { at } from "./client.ts";
import { examples } from "./help.ts";
import { showDistance } from "./moments.ts";
import { list, several, whole } from "./option-values.ts";
import { colourOf } from "./paint.ts";
import type { OpenSession } from "./program.ts";
import { describeSchedule, describeTiming } from "./schedule-view.ts";
import type { Column } from "./table.ts";

const EVERYTHING = 1_000_000;

/** `pocketwatch schedules`: finding them. */
export function addSchedules(program: Command, open: OpenSession): Command {
  const schedules = program
    .command("schedules")
    .description("find, make, change and control schedules")
    .helpCommand(false);
  schedules.commandsGroup("Finding:");
  schedules
    .command("list")
    .description("schedules by name")
    .option("--state <states>", "active, paused, disabled, finished or problem", list)
    .option("--kind <kinds>", "cron, interval, once, calendar, event or manual", list)
    .option("--action <action>", "may be given several times", several)
    .option("--pool <pool>", "may be given several times", several)
    .option("--priority <priorities>", "high, normal or low", list)
    .option("--label <name[=value]>", "a label with its value, or a label that is there; several: all of them", several)
    .option("--text <text>", "found in name or description")
    .option("--limit <count>", "how many at most", whole(1), 50)
    .option("--all", "all of them")
    .option("--cursor <cursor>", "next_cursor of an earlier answer")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch schedules list --state problem", "what needs attention"],
        ["pocketwatch schedules list --label team=ops --all --json | jq '.items[].name'"],
      ),
    )
    .action(async ({ limit, all, state, kind, priority, ...filter }) => {
      const session = open();
      const joined = { state: state?.join(","), kind: kind?.join(","), priority: priority?.join(",") };
      const query = { ...filter, ...joined };
      const page = await session.client.list<Schedule>("/v1/schedules", query, all ? EVERYTHING : limit);
      session.showTable(page, columns(session.around.clock.now()), "There are no such schedules.");
      if (page.next_cursor !== null) session.say(`\nThere are more: --all, or --limit ${limit * 2}.`);
    });
  schedules
    .command("show")
    .description("everything about one schedule")
    .argument("<schedule>", "its name or id")
    .addHelpText("after", examples(["pocketwatch schedules show nightly"]))
    .action(async (name: string) => {
      const session = open();
      const schedule = await session.client.get<Schedule>(at`/v1/schedules/${name}`);
      session.show(schedule, () => session.facts(describeSchedule(schedule, session.around.clock.now())));
    });
  return schedules;
}

function columns(now: number): Column<Schedule>[] {
  return [
    { title: "NAME", value: ({ name }) => name, least: 14 },
    { title: "STATE", value: ({ state }) => state, colour: ({ state }) => colourOf(state) },
    { title: "WHEN", value: describeTiming, least: 12 },
    { title: "NEXT", value: ({ next_run_at }) => (next_run_at === null ? "-" : showDistance(next_run_at, now)) },
    { title: "LAST RUN", value: (schedule) => lastRun(schedule, now), colour: lastColour },
  ];
}

function lastRun({ last_run_at, last_run_status }: Schedule, now: number): string {
  if (last_run_at === null) return "-";
  return `${last_run_status ?? "?"} ${showDistance(last_run_at, now)}`;
}

function lastColour({ last_run_status }: Schedule) {
  return last_run_status === null ? null : colourOf(last_run_status);
}
