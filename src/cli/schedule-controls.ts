import { type Command, Option } from "commander";
import { toIso } from "../schedule/instant.ts";
import type { Run, Schedule } from "./answers.ts";
import { at } from "./client.ts";
import { wrongUsage } from "./failures.ts";
import { examples } from "./help.ts";
import { MOMENT_HINT, readMoment, showMoment, showMomentAndDistance } from "./moments.ts";
import { parsePayload } from "./payload.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import { describeOutcome } from "./run-view.ts";
import { followRun } from "./run-watch.ts";
import { addBackfill } from "./schedule-backfill.ts";
import { act, refuseSelection, selecting } from "./selection.ts";
import type { Session } from "./session.ts";

/** `pocketwatch schedules pause, resume, trigger, skip-next, cancel, backfill, rm`. */
export function addScheduleControls(schedules: Command, open: OpenSession): void {
  schedules.commandsGroup("Controlling:");
  selecting(schedules.command("pause"))
    .description("stop being due; what runs goes on")
    .option("--until <instant>", 'the end of the pause, such as +2h or "monday 06:00"; absent: until it is resumed')
    .option("--note <text>", "why")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch schedules pause nightly --until +2h --note 'disk swap'"],
        ["pocketwatch schedules pause --label team=ops --until 'monday 06:00'", "a group, for the weekend"],
      ),
    )
    .action(async (name: string | undefined, { until, note, ...selection }) => {
      const session = open();
      const body = { until: readUntil(session, until), note };
      await act(session, name, selection, "pause", body, (schedule: Schedule) => {
        const { paused_until } = schedule;
        const end = paused_until === null ? "until it is resumed" : `until ${showMoment(paused_until)}`;
        return `${inline(schedule.name)} is paused ${end}.`;
      });
    });
  selecting(schedules.command("resume"))
    .description("end a pause")
    .option("--catch-up", "treat what was due meanwhile as after an outage, by its catch-up policy")
    .addHelpText("after", examples(["pocketwatch schedules resume nightly"]))
    .action(async (name: string | undefined, { catchUp, ...selection }) => {
      const session = open();
      await act(session, name, selection, "resume", { catch_up: catchUp === true }, (schedule: Schedule) => {
        const { next_run_at, state } = schedule;
        const next = next_run_at === null ? "nothing is due" : `next ${moment(session, next_run_at)}`;
        return `${inline(schedule.name)} is ${state}; ${next}.`;
      });
    });
  selecting(schedules.command("trigger"))
    .description("run it now; its next occurrence does not move")
    .option("--payload <json|@file>", "instead of the schedule's own")
    .addOption(new Option("--priority <priority>", "instead of the schedule's own").choices(["high", "normal", "low"]))
    .option("--idempotency-key <key>", "the same key makes no second run within 24 hours")
    .option("--watch", "follow the run; exits with 0 if it completes, else with 1")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch schedules trigger nightly --watch"],
        ["pocketwatch schedules trigger nightly --payload @today.json --priority high"],
      ),
    )
    .action(async (name: string | undefined, { payload, priority, idempotencyKey, watch, ...selection }) => {
      const session = open();
      if (name === undefined) {
        if (payload ?? priority ?? idempotencyKey ?? watch) {
          throw wrongUsage("--payload, --priority, --idempotency-key and --watch need one schedule, not --label");
        }
        return act(session, name, selection, "trigger", {}, () => "");
      }
      refuseSelection(selection);
      const body = { priority, payload: payload === undefined ? undefined : await parsePayload(session, payload) };
      const headers = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
      const path = at`/v1/schedules/${name}/trigger`;
      const { body: run } = await session.client.request<Run>("POST", path, { body, headers });
      if (watch) return followRun(session, run.id, {});
      session.show(run, () => describeOutcome(run));
    });
  schedules
    .command("skip-next")
    .description("skip the next occurrence, and leave a run that says so")
    .argument("<schedule>", "its name or id")
    .addHelpText("after", examples(["pocketwatch schedules skip-next nightly"]))
    .action(async (name: string) => {
      const session = open();
      const run = await session.client.post<Run>(at`/v1/schedules/${name}/skip-next`);
      session.show(run, () => `${moment(session, run.scheduled_for)} is skipped: ${run.id}\n`);
    });
  selecting(schedules.command("cancel"))
    .description("cancel its unfinished runs; consumers are told")
    .addHelpText(
      "after",
      examples(["pocketwatch schedules cancel nightly"], ["pocketwatch schedules cancel --label team=ops"]),
    )
    .action(async (name: string | undefined, selection) => {
      const session = open();
      await act(session, name, selection, "cancel", {}, ({ cancelling }: { cancelling: number }) => {
        return `Runs of ${inline(name!)} that are asked to stop: ${cancelling}.`;
      });
    });
  addBackfill(schedules, open);
  schedules
    .command("rm")
    .description("delete schedules: cancels what has not started, keeps history")
    .argument("<schedule...>", "names or ids")
    .addHelpText("after", examples(["pocketwatch schedules rm nightly 'Old scout'"]))
    .action(async (names: string[]) => {
      const session = open();
      for (const name of names) {
        await session.client.request("DELETE", at`/v1/schedules/${name}`);
        session.say(`${inline(name)} is deleted.`);
      }
      if (session.json) session.show({ deleted: names }, () => "");
    });
}

function readUntil(session: Session, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const instant = readMoment(text, session.here());
  if (instant === null) throw wrongUsage(`--until: ${MOMENT_HINT}`);
  return toIso(instant);
}

function moment(session: Session, iso: string): string {
  return showMomentAndDistance(iso, session.around.clock.now());
}
