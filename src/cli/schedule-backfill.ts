import { type Command, Option } from "commander";
import type { Backfilled } from "./answers.ts";
import { at } from "./client.ts";
import { examples } from "./help.ts";
import { pastMoment } from "./history.ts";
import { showMoment } from "./moments.ts";
import type { OpenSession } from "./program.ts";

const MOST_SHOWN = 20;

/** `pocketwatch schedules backfill`: past occurrences that have no run. */
export function addBackfill(schedules: Command, open: OpenSession): void {
  schedules
    .command("backfill")
    .description("run the occurrences of a past span that have no run")
    .argument("<schedule>", "its name or id")
    .requiredOption("--from <when>", 'from then on: how long ago ("3d"), "monday", or an instant')
    .option("--to <when>", "until then, inclusive; now unless given")
    .addOption(
      new Option("--overlap <policy>", "how these runs wait for each other; the schedule's own unless given").choices([
        ...["allow", "skip", "buffer_one", "buffer_all", "cancel_previous"],
      ]),
    )
    .option("--dry-run", "only say which")
    .addHelpText("after", examples(["pocketwatch schedules backfill nightly --from 3d --dry-run"]))
    .action(async (name: string, { from, to, overlap, dryRun }) => {
      const session = open();
      const body = {
        ...{ from: pastMoment(session, from), to: pastMoment(session, to ?? "0"), overlap, dry_run: dryRun === true },
      };
      const done = await session.client.post<Backfilled>(at`/v1/schedules/${name}/backfill`, body);
      session.show(done, () => describe(done));
    });
}

function describe({ dry_run, created, existing, occurrences }: Backfilled): string {
  const shown = occurrences.slice(0, MOST_SHOWN).map((iso) => `  ${showMoment(iso)}\n`);
  const more = created > MOST_SHOWN ? `  and ${created - MOST_SHOWN} more\n` : "";
  return `${created} runs ${dry_run ? "would be" : "are"} made; ${existing} occurrences have one.\n${shown.join("")}${more}`;
}
