import type { Command } from "commander";
import type { BulkAnswer } from "./answers.ts";
import { at } from "./client.ts";
import { CommandFailed, EXIT, wrongUsage } from "./failures.ts";
import { label } from "./option-values.ts";
import { inline, pad, width } from "./printable.ts";
import type { Session } from "./session.ts";

interface Selection {
  readonly label?: Readonly<Record<string, string>>;
  readonly dryRun?: true;
}

/** A command for one schedule, or for all that carry some labels. */
export function selecting(command: Command): Command {
  return command
    .argument("[schedule]", "its name or id")
    .option("--label <name=value>", "instead of one schedule: all that carry this label; several: all of them", label)
    .option("--dry-run", "with --label: only say which schedules those are");
}

/** Does it to one schedule, or to all that carry some labels. */
export async function act<Answer>(
  session: Session,
  name: string | undefined,
  selection: Selection,
  verb: keyof typeof DONE,
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

export function refuseSelection({ label: labels, dryRun }: Selection): void {
  if (labels !== undefined) throw wrongUsage("name a schedule or --label, not both");
  if (dryRun) throw wrongUsage("--dry-run belongs to --label");
}

const DONE = { pause: "is paused", resume: "is resumed", trigger: "runs", cancel: "runs asked to stop" } as const;

function describeBulk({ dry_run, items }: BulkAnswer, verb: keyof typeof DONE): string {
  if (items.length === 0) return "No schedule carries these labels.\n";
  const outcome = ({ run_id, cancelling, problem }: BulkAnswer["items"][number]) => {
    if (dry_run) return `would ${verb}`;
    if (problem !== null) return `not done: ${inline(problem)}`;
    return `${DONE[verb]}${run_id === null ? "" : `: ${run_id}`}${cancelling === null ? "" : `: ${cancelling}`}`;
  };
  const room = Math.max(...items.map(({ name }) => width(inline(name))));
  return items.map((item) => `${pad(inline(item.name), room)}  ${outcome(item)}\n`).join("");
}
