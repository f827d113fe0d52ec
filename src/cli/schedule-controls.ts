import { type Command, Option } from "commander";
import { toIso } from "../schedule/instant.ts";
import type { BulkAnswer, Run, Schedule } from "./answers.ts";
import { at } from "./client.ts";
import { CommandFailed, EXIT, wrongUsage } from "./failures.ts";
import { examples } from "./help.ts";
import { MOMENT_HINT, readMoment, showMoment, showMomentAndDistance } from "./moments.ts";
import { label } from "./option-values.ts";
import { parsePayload } from "./payload.ts";
import { inline, pad, width } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import { followRun } from "./run-watch.ts";
import type { Session } from "./session.ts";

interface Selection {
  readonly label?: Readonly<Record<string, string>>;
  readonly dryRun?: true;
}

/** `pocketwatch schedules pause, resume, trigger, skip-next, rm`. */
export function addScheduleControls(schedules: Command, open: OpenSession): void {
  schedules.commandsGroup("Controlling:");
  selecting(schedules.command("pause"))
    .description("stop being due; what runs goes on")
    .option("--until <instant>", "the end of the pause; absent: until it is resumed")
    .option("--note <text>", "why")
    .addHelpText(
      "after",
      examples(
        ["pocketwatch schedules pause nightly --until +2h --note 'disk swap'"],
        ["pocketwatch schedules pause --label team=ops --until 2026-11-23T06:00:00Z", "a group, for the weekend"],
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
      session.show(run, () => `${run.id} ${run.status}${run.status_reason ? `: ${run.status_reason}` : ""}\n`);
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

function selecting(command: Command): Command {
  return command
    .argument("[schedule]", "its name or id")
    .option("--label <name=value>", "instead of one schedule: all that carry this label; several: all of them", label)
    .option("--dry-run", "with --label: only say which schedules those are");
}

/** Does it to one schedule, or to all that carry some labels. */
async function act<Answer>(
  session: Session,
  name: string | undefined,
  selection: Selection,
  verb: "pause" | "resume" | "trigger",
  body: object,
  people: (answer: Answer) => string,
): Promise<void> {
  if (name !== undefined) {
    refuseSelection(selection);
    const answer = await session.client.post<Answer>(`${at`/v1/schedules/${name}/`}${verb}`, body);
    return session.show(answer, () => `${people(answer)}\n`);
  }
  if (selection.label === undefined) throw wrongUsage("name a schedule, or several by --label name=value");
  const answer = await session.client.post<BulkAnswer>(`/v1/schedules/bulk/${verb}`, {
    ...body,
    labels: selection.label,
    dry_run: selection.dryRun === true,
  });
  session.show(answer, () => describeBulk(answer, verb));
  if (answer.items.some(({ problem }) => problem !== null)) throw new CommandFailed(EXIT.failed, "");
}

function refuseSelection({ label: labels, dryRun }: Selection): void {
  if (labels !== undefined) throw wrongUsage("name a schedule or --label, not both");
  if (dryRun) throw wrongUsage("--dry-run belongs to --label");
}

const DONE = { pause: "is paused", resume: "is resumed", trigger: "runs" } as const;

function describeBulk({ dry_run, items }: BulkAnswer, verb: keyof typeof DONE): string {
  if (items.length === 0) return "No schedule carries these labels.\n";
  const outcome = ({ run_id, problem }: BulkAnswer["items"][number]) => {
    if (dry_run) return `would ${verb}`;
    return problem === null ? `${DONE[verb]}${run_id === null ? "" : `: ${run_id}`}` : `not done: ${inline(problem)}`;
  };
  const room = Math.max(...items.map(({ name }) => width(inline(name))));
  return items.map((item) => `${pad(inline(item.name), room)}  ${outcome(item)}\n`).join("");
}

function readUntil(session: Session, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const instant = readMoment(text, session.around.clock.now());
  if (instant === null) throw wrongUsage(`--until: ${MOMENT_HINT}`);
  return toIso(instant);
}

function moment(session: Session, iso: string): string {
  return showMomentAndDistance(iso, session.around.clock.now());
}
