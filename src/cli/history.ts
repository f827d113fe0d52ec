import type { Command } from "commander";
import { toIso } from "../schedule/instant.ts";
import type { Statistics } from "./answers.ts";
import { at } from "./client.ts";
import { wrongUsage } from "./failures.ts";
import { examples } from "./help.ts";
import { PAST_HINT, readPastMoment, showDuration, showMoment } from "./moments.ts";
import { whole } from "./option-values.ts";
import type { OpenSession } from "./program.ts";
import type { Session } from "./session.ts";
import type { Fact } from "./table.ts";

/** `pocketwatch stats, clean-up`: figures over history, and how much of it is kept. */
export function addHistory(program: Command, open: OpenSession): void {
  program
    .command("stats")
    .description("counts, success rate, durations and lateness of runs")
    .argument("[schedule]", "only this one: its name or id")
    .option(
      "--since <when>",
      'due from then on: how long ago ("7d"), "yesterday", or an instant; 24 hours unless given',
    )
    .option("--until <when>", "due before; now unless given")
    .addHelpText("after", examples(["pocketwatch stats"], ["pocketwatch stats nightly --since 30d"]))
    .action(async (name: string | undefined, { since, until }) => {
      const session = open();
      const path = name === undefined ? "/v1/stats" : at`/v1/schedules/${name}/stats`;
      const window = { from: pastMoment(session, since), to: pastMoment(session, until) };
      const statistics = await session.client.get<Statistics>(path, window);
      session.show(statistics, () => session.facts(describeStatistics(statistics)));
    });
  program
    .command("clean-up")
    .description("delete ended runs beyond what is to be kept, now")
    .option("--days <count>", "keep those younger; as configured unless given", whole(1))
    .option("--runs-per-schedule <count>", "keep so many of each; as configured unless given", whole(1))
    .addHelpText("after", examples(["pocketwatch clean-up --days 30 --runs-per-schedule 100"]))
    .action(async ({ days, runsPerSchedule }) => {
      const session = open();
      const limits = { days, runs_per_schedule: runsPerSchedule };
      const outcome = await session.client.post<{ deleted: number }>("/v1/history/clean-up", limits);
      session.show(outcome, ({ deleted }) => `${deleted} runs are deleted.\n`);
    });
}

/** An option that names a moment in the past, for the service. */
export function pastMoment(session: Session, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const instant = readPastMoment(text, session.here());
  if (instant === null) throw wrongUsage(`${text}: ${PAST_HINT}`);
  return toIso(instant);
}

function describeStatistics({ from, to, total, success_rate, ...statistics }: Statistics): Fact[] {
  const spread = ({ count, average, p50, p95, p99 }: Statistics["duration_seconds"]) =>
    count === 0
      ? null
      : Object.entries({ average, p50, p95, p99 })
          .map(([name, value]) => `${name} ${value === null ? "-" : showDuration(value)}`)
          .join(", ");
  const counts = (by: Readonly<Record<string, number>>) =>
    Object.entries(by)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${count} ${name}`)
      .join(", ") || null;
  return [
    ["due", `from ${showMoment(from)} to ${showMoment(to)}`],
    ["runs", String(total)],
    ["status", counts(statistics.by_status)],
    ["reasons", counts(statistics.by_reason)],
    ["success", success_rate === null ? null : `${(success_rate * 100).toFixed(1)} %`],
    ["duration", spread(statistics.duration_seconds)],
    ["lateness", spread(statistics.lateness_seconds)],
  ];
}
