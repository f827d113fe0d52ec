import type { Command } from "commander";
import { toIso } from "../schedule/instant.ts";
import type { Occurrences, Schedule } from "./answers.ts";
import { at } from "./client.ts";
import { wrongUsage } from "./failures.ts";
import { examples } from "./help.ts";
import { MOMENT_HINT, readMoment, showDistance, showLocal, showMoment } from "./moments.ts";
import { whole } from "./option-values.ts";
import { colourOf } from "./paint.ts";
import type { OpenSession } from "./program.ts";
import { addTimingFlags, timingFromFlags, zoneOf } from "./schedule-flags.ts";
import { describeTiming } from "./schedule-view.ts";
import type { Session } from "./session.ts";
import type { Column } from "./table.ts";
import { table } from "./table.ts";

/** `pocketwatch schedules upcoming, preview`: when. */
export function addScheduleTimes(schedules: Command, open: OpenSession): void {
  schedules.commandsGroup("When:");
  schedules
    .command("upcoming")
    .description("when it is due next, pauses and limits taken into account")
    .argument("<schedule>", "its name or id")
    .option("--count <count>", "how many", whole(1), 10)
    .addHelpText("after", examples(["pocketwatch schedules upcoming nightly --count 3"]))
    .action(async (name: string, { count }) => {
      const session = open();
      const found = await session.client.get<Occurrences>(at`/v1/schedules/${name}/upcoming`, { count });
      // The zone is only for people.
      const schedule = session.json ? null : await session.client.get<Schedule>(at`/v1/schedules/${name}`);
      session.show(found, () =>
        found.occurrences.length > 0
          ? showOccurrences(session, found.occurrences, zoneOf({}, schedule?.timing), marks(found))
          : `Nothing is going to be due: the schedule is ${schedule?.state}.\n`,
      );
    });
  addTimingFlags(
    schedules
      .command("preview")
      .description("when a timing would be due, or what a change to a schedule would do; stores nothing")
      .argument("[schedule]", "the schedule that would be changed: its name or id"),
  )
    .option("--count <count>", "how many", whole(1), 10)
    .option("--after <instant>", "from then on; now unless given")
    .option("--name <name>", "seeds every H of a cron expression")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch schedules preview --cron '30 2 * * *' --timezone Europe/Berlin"],
        ["pocketwatch schedules preview nightly --cron '0 3 * * *'", "before changing it"],
      ),
    )
    .action(async (name: string | undefined, flags) => {
      const session = open();
      const timing = timingFromFlags(flags, session.here(zoneOf(flags)));
      if (timing === null) throw wrongUsage("say when: --cron, --every, --at or --calendar (see --help)");
      const after = flags.after === undefined ? undefined : readMoment(flags.after, session.here(zoneOf(flags)));
      if (after === null) throw wrongUsage(`--after: ${MOMENT_HINT}`);
      const found = await session.client.post<Occurrences>("/v1/schedules/preview", {
        ...{ timing, count: flags.count, schedule: name, name: flags.name },
        ...(after === undefined ? {} : { after: toIso(after) }),
      });
      const before =
        session.json || name === undefined ? null : await session.client.get<Schedule>(at`/v1/schedules/${name}`);
      const zone = zoneOf(flags, before?.timing);
      session.show(found, () => describePreview(session, found, zone, before));
    });
}

function marks({ dst }: Occurrences): Map<string, string> {
  const words = {
    gap: "clock change: its local time does not exist",
    fold: "clock change: its local time comes twice",
  };
  return new Map(dst.map(({ at: instant, effect }) => [instant, words[effect]]));
}

function showOccurrences(
  session: Session,
  occurrences: readonly string[],
  zone: string,
  noted: ReadonlyMap<string, string>,
): string {
  const { clock, out } = session.around;
  const now = clock.now();
  const columns: Column<string>[] = [
    { title: "UTC", value: showMoment },
    ...(zone === "UTC" ? [] : [{ title: zone, value: (iso: string) => showLocal(iso, zone) }]),
    { title: "", value: (iso) => showDistance(iso, now) },
  ];
  if (noted.size > 0) {
    const note = {
      title: "",
      value: (iso: string) => noted.get(iso) ?? " ",
      least: 5,
      colour: () => colourOf("paused"),
    };
    columns.push(note);
  }
  return table(out, columns, occurrences);
}

function describePreview(session: Session, found: Occurrences, zone: string, before: Schedule | null): string {
  const { occurrences, appear = [], vanish = [] } = found;
  const main =
    occurrences.length === 0 ? "It would never be due.\n" : showOccurrences(session, occurrences, zone, marks(found));
  if (before === null) return main;
  const changes = [
    ...appear.map((iso) => `  + ${showMoment(iso)}\n`),
    ...vanish.map((iso) => `  - ${showMoment(iso)}\n`),
  ];
  const difference =
    changes.length === 0 ? "  nothing\n" : changes.sort((a, b) => (a.slice(4) < b.slice(4) ? -1 : 1)).join("");
  return `${main}\nWhat changes against ${describeTiming(before)}:\n${difference}`;
}
