import { type Command, InvalidArgumentError } from "commander";
import { toIso } from "../schedule/instant.ts";
import type { Run, RunDetail } from "./answers.ts";
import { at } from "./client.ts";
import { wrongUsage } from "./failures.ts";
import { examples } from "./help.ts";
import { readMoment } from "./moments.ts";
import { list, seconds, several, whole } from "./option-values.ts";
import type { OpenSession } from "./program.ts";
import { describeRun, runColumns, statusOf } from "./run-view.ts";
import { followRun } from "./run-watch.ts";
import type { Session } from "./session.ts";

const EVERYTHING = 1_000_000;

/** `pocketwatch runs list, show, watch, cancel, retry`. */
export function addRuns(program: Command, open: OpenSession): void {
  const runs = program.command("runs").description("find, watch, cancel and retry runs").helpCommand(false);
  addFinding(runs, open);
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
    .option("--since <when>", 'due from then on: an instant, or how long ago ("12h")', since)
    .option("--until <when>", "due before: an instant, or how long ago", since)
    .option("--text <text>", "found in schedule name, target or error message")
    .option("--limit <count>", "how many at most", whole(1), 20)
    .option("--all", "all of them")
    .option("--cursor <cursor>", "next_cursor of an earlier answer")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch runs list --schedule nightly --since 24h", "what became of last night's?"],
        ["pocketwatch runs list --status failed,skipped --since 1d"],
      ),
    )
    .action(async ({ limit, all, since: from, until, status, reason, triggerType, priority, ...filter }) => {
      const session = open();
      const query = {
        ...filter,
        ...{ status: status?.join(","), status_reason: reason?.join(","), trigger_type: triggerType?.join(",") },
        ...{ priority: priority?.join(","), from: ago(session, from), to: ago(session, until) },
      };
      const page = await session.client.list<Run>("/v1/runs", query, all ? EVERYTHING : limit);
      session.showTable(page, runColumns(session.around.clock.now()), "There are no such runs.");
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
      session.show(run, () => session.facts(describeRun(run, session.around.clock.now())));
    });
}

/** Kept as text until the clock is at hand; checked at once. */
function since(text: string): string {
  if (readMoment(text, 0) === null && readMoment(`+${text}`, 0) === null) {
    throw new InvalidArgumentError('Expected an instant with its offset, or how long ago ("12h", "2d").');
  }
  return text;
}

function ago({ around }: Session, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const now = around.clock.now();
  const ahead = readMoment(`+${text}`, now);
  const instant = ahead === null ? readMoment(text, now) : 2 * now - ahead;
  if (instant === null) throw wrongUsage(`${text} is no instant`);
  return toIso(instant);
}
