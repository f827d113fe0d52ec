import type { Command } from "commander";
import { describeChanges } from "../change-view.ts";
import { at } from "../client.ts";
import { CommandFailed, describeFailure, EXIT } from "../failures.ts";
import { examples } from "../help.ts";
import { type Colour, paint } from "../paint.ts";
import { readDocument } from "../payload.ts";
import { inline } from "../printable.ts";
import type { OpenSession } from "../program.ts";
import type { Session } from "../session.ts";
import { readContracts } from "./contracts.ts";
import { everySchedule } from "./export.ts";
import { readImportFile } from "./import-file.ts";
import { checkPlan, type ImportPlan, planImport, type Step } from "./import-plan.ts";

/** `pocketwatch import`. */
export function addImport(program: Command, open: OpenSession): void {
  program
    .command("import")
    .description("make the service have the schedules of a file")
    .argument("<file>", "YAML or JSON as `export` writes it; - is standard input")
    .option("--prune", "delete schedules that the file does not have")
    .option("--dry-run", "only show what would change")
    .addHelpText(
      "after",
      `
Everything is checked first: if anything is wrong with the file, nothing
changes. A schedule that somebody changes or makes meanwhile is left alone and
reported.
Pauses stay. \`defaults\` in the file apply to each of its schedules: objects are
merged, null takes a default away.
${examples(
  ["pocketwatch import schedules.yaml --dry-run", "what would change?"],
  ["pocketwatch import schedules.yaml --prune", "and nothing else remains"],
)}`,
    )
    .action((file: string, options: { prune?: true; dryRun?: true }) => runImport(open(), file, options));
}

async function runImport(session: Session, path: string, { prune = false, dryRun = false }): Promise<void> {
  const { client } = session;
  const file = readImportFile(await readDocument(session, path));
  const shown = path === "-" ? "Standard input" : inline(path);
  const cannot = `${shown} cannot be imported; nothing was changed:`;
  if (file.problems.length > 0) throw new CommandFailed(EXIT.failed, cannot, { fields: file.problems });
  const present = await everySchedule(session);
  const contracts = await readContracts(client);
  const plan = planImport(file.schedules, present, contracts, prune);
  const fields = await checkPlan(client, plan, present, contracts);
  if (fields.length > 0) throw new CommandFailed(EXIT.failed, cannot, { fields });

  const refusals = new Map<Step, CommandFailed>();
  for (const step of plan.steps) {
    // What is gone is gone: as long as anything of the file could not be written, nothing is deleted for it.
    const held = step.change === "removed" && refusals.size > 0;
    const refusal = dryRun ? null : held ? HELD : await carryOut(session, step);
    if (refusal !== null) refusals.set(step, refusal);
    if (!session.json) session.around.out.write(describeStep(session, step, refusal));
  }
  session.show(summary(plan, dryRun, refusals), (sum) => describeSummary(sum, plan.kept, dryRun));
  if (refusals.size > 0) throw new CommandFailed(EXIT.failed, "");
}

const HELD = new CommandFailed(EXIT.failed, "not deleted, because something else was refused");

/** Answers why it was refused; null: it is done. A service that is away ends the import. */
async function carryOut({ client }: Session, { name, change, body, revision }: Step): Promise<CommandFailed | null> {
  const headers: Record<string, string> =
    revision === null ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
  try {
    if (body !== null) await client.request("PUT", at`/v1/schedules/${name}`, { body, headers });
    else if (change === "removed") await client.request("DELETE", at`/v1/schedules/${name}`, { headers });
    return null;
  } catch (error) {
    if (error instanceof CommandFailed && error.exit !== EXIT.unreachable) return error;
    throw error;
  }
}

const SIGNS: Record<Step["change"], readonly [string, Colour] | null> = {
  added: ["+", "green"],
  changed: ["~", "yellow"],
  removed: ["-", "red"],
  unchanged: null,
};

function describeStep(session: Session, { name, change, fields }: Step, refusal: CommandFailed | null): string {
  const sign = SIGNS[change];
  if (sign === null) return "";
  const line = `${paint(session.around.out, sign[1], `${sign[0]} ${inline(name)}`)}\n${describeChanges(session, fields)}`;
  if (refusal === null) return line;
  return `${line}${describeFailure(refusal).replace(/^/gm, "    ! ")}\n`;
}

function summary({ steps, kept }: ImportPlan, dry_run: boolean, refusals: ReadonlyMap<Step, CommandFailed>) {
  const count = (wanted: Step["change"]) =>
    steps.filter((step) => step.change === wanted && !refusals.has(step)).length;
  return {
    dry_run,
    ...{ added: count("added"), changed: count("changed"), removed: count("removed") },
    ...{ unchanged: count("unchanged"), refused: refusals.size, kept },
    items: steps.map((step) => {
      const { name, change, fields } = step;
      const refusal = refusals.get(step);
      return { name, change, fields, problem: refusal === undefined ? null : describeFailure(refusal) };
    }),
  };
}

function describeSummary(sum: ReturnType<typeof summary>, kept: number, dryRun: boolean): string {
  const counts = `${sum.added} added, ${sum.changed} changed, ${sum.removed} removed, ${sum.unchanged} unchanged`;
  const refused = sum.refused === 0 ? "" : `, ${sum.refused} refused`;
  const more = kept === 0 ? "" : `\n${kept} not in the file: kept (--prune deletes them)`;
  return `${dryRun ? "Dry run, nothing was changed: " : ""}${counts}${refused}${more}\n`;
}
