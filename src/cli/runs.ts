import { type Command, Option } from "commander";
import type { Actions, Run, RunDetail, Schedule } from "./answers.ts";
import { at } from "./client.ts";
import { examples } from "./help.ts";
import { pastMoment } from "./history.ts";
import { list, seconds, several, whole } from "./option-values.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import { addRunStart } from "./run-start.ts";
import { describeRun, runColumns, statusOf } from "./run-view.ts";
import { followRun } from "./run-watch.ts";
import { describeWhereabouts } from "./schedule-view.ts";
import type { Session } from "./session.ts";

const EVERYTHING = 1_000_000;

/** `pocketwatch runs list, show, start, watch, cancel, retry`. */
export function addRuns(program: Command, open: OpenSession): void {
  const runs = program.command("runs").description("find, start, watch, cancel and retry runs").helpCommand(false);
  addFinding(runs, open);
  addRunStart(runs, open);
  runs
    .command("watch")
    .description("follow a run until its end; exits with 0 if it completes, else with 1")
    .argument("<run>", "its id")
    .option("--interval <duration>", "between two looks", seconds, 1)
    .option("--timeout <duration>", "give up after", seconds)
    .addHelpText("after", examples(["pocketwatch runs watch 0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e --timeout 10m"]))
    .action(async (id: string, { interval, timeout }) => {
      await followRun(open(), id, { intervalSeconds: interval, timeoutSeconds: timeout });
    });
  runs
    .command("cancel")
    .description("ask for a run to be cancelled; its consumer is told")
    .argument("<run>", "its id")
    .option("--reason <text>", "for people")
    .addHelpText("after", examples(["pocketwatch runs cancel <id> --reason 'wrong payload'"]))
    .action(async (id: string, { reason }) => {
      const session = open();
      const run = await session.client.post<Run>(at`/v1/runs/${id}/cancel`, { reason });
      const asked = run.completed_at === null ? "is asked to stop" : "has ended";
      session.show(run, () => `${run.id} ${asked}: ${statusOf(run)}\n`);
    });
  runs
    .command("retry")
    .description("start an ended run anew, as its next attempt")
    .argument("<run>", "its id")
    .option("--force", "also one that has completed")
    .option("--watch", "follow it")
    .addHelpText("after", examples(["pocketwatch runs retry <id> --watch"]))
    .action(async (id: string, { force, watch }) => {
      const session = open();
      const run = await session.client.post<Run>(at`/v1/runs/${id}/retry`, { force: force === true });
      if (watch) return followRun(session, run.id, {});
      session.show(run, () => `${run.id} ${statusOf(run)}, attempt ${run.attempt}\n`);
    });
}

function addFinding(runs: Command, open: OpenSession): void {
  runs
    .command("list")
    .description("runs, newest first")
    .option("--schedule <schedule>", "its name or id")
    .option("--status <statuses>", "waiting, pending, dispatched, running, completed, failed, cancelled, skipped", list)
    .option("--reason <reasons>", "such as timeout or overlap", list)
    .option("--action <action>", "may be given several times", several)
    .option("--trigger-type <types>", "scheduled, manual, event, dependency or backfill", list)
    .option("--priority <priorities>", "high, normal or low", list)
    .option("--pool <pool>", "may be given several times", several)
    .option("--label <name[=value]>", "of its schedule; several: all of them", several)
    .option("--target <target>", "runs of this target")
    .option("--children", "the runs of targets too, and not only their parents")
    .option("--since <when>", 'due from then on: how long ago ("12h"), "yesterday", "monday 06:00", or an instant')
    .option("--until <when>", "due before")
    // As the service calls them.
    .addOption(new Option("--from <when>").hideHelp())
    .addOption(new Option("--to <when>").hideHelp())
    .option("--text <text>", "found in schedule name, target or error message")
    .option("--limit <count>", "how many at most", whole(1), 20)
    .option("--all", "all of them")
    .option("--cursor <cursor>", "next_cursor of an earlier answer")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch runs list --schedule nightly --since yesterday", "what became of last night's?"],
        ["pocketwatch runs list --status failed,skipped --since 1d"],
      ),
    )
    .action(async ({ limit, all, since, until, from, to, status, reason, triggerType, priority, ...filter }) => {
      const session = open();
      const query = {
        ...filter,
        ...{ status: status?.join(","), status_reason: reason?.join(","), trigger_type: triggerType?.join(",") },
        ...{
          priority: priority?.join(","),
          from: pastMoment(session, since ?? from),
          to: pastMoment(session, until ?? to),
        },
      };
      const page = await session.client.list<Run>("/v1/runs", query, all ? EVERYTHING : limit);
      session.showTable(page, runColumns(session.around.clock.now()), "There are no such runs.");
      if (page.items.length === 0 && filter.schedule !== undefined) await sayWhyNone(session, filter.schedule);
      if (page.next_cursor !== null) session.say(`\nThere are more: --all, or --limit ${limit * 5}.`);
    });
  runs
    .command("show")
    .description("everything about one run, and why it is as it is")
    .argument("<run>", "its id")
    .addHelpText("after", examples(["pocketwatch runs show 0199f3c2-8a10-8c3e-9d55-1f6a2b3c4d5e"]))
    .action(async (id: string) => {
      const session = open();
      const run = await session.client.get<RunDetail>(at`/v1/runs/${id}`);
      const consumers = session.json ? null : await consumersOf(session, run);
      session.show(run, () => session.facts(describeRun(run, session.around.clock.now(), consumers)));
    });
}

/** How many there are to start a run that nobody has started; null: it is not about them. */
async function consumersOf({ client }: Session, run: Run): Promise<number | null> {
  if (run.status !== "dispatched") return null;
  const { items } = await client.get<Actions>("/v1/actions");
  const action = items.find(({ name, version }) => name === run.action && version === run.action_version);
  return action?.queue.consumers ?? null;
}

// A pause leaves no rows behind: whoever looks for a run that never was has to be told elsewhere.
async function sayWhyNone(session: Session, name: string): Promise<void> {
  if (session.json) return;
  const schedule = await session.client.get<Schedule>(at`/v1/schedules/${name}`);
  session.say(`${inline(schedule.name)}: ${describeWhereabouts(schedule, session.around.clock.now())}.`);
  session.say("While a schedule is paused or disabled nothing is due, and no run is left to show.");
}
