import type { Command } from "commander";
import type { Schedule } from "./answers.ts";
import { nextOf, showChange } from "./change-view.ts";
import { at } from "./client.ts";
import { isObject } from "./documents/changes.ts";
import { editInEditor } from "./documents/edit.ts";
import { wrongUsage } from "./failures.ts";
import { ADD_EXAMPLE, examples } from "./help.ts";
import { label, list, several } from "./option-values.ts";
import { parsePayload, readDocument } from "./payload.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import { addScheduleFlags, bodyFromFlags, type Flags, zoneOf } from "./schedule-flags.ts";
import type { Session } from "./session.ts";

/** `pocketwatch schedules add, edit`. */
export function addScheduleChanges(schedules: Command, open: OpenSession): void {
  schedules.commandsGroup("Changing:");
  addScheduleFlags(
    schedules
      .command("add")
      .description("make a schedule, from flags or from a file")
      .option("-f, --file <file>", "YAML or JSON as `export` writes it; - is standard input; flags override it"),
  )
    .option("--label <name=value>", "may be repeated", label)
    .addHelpText(
      "after",
      examples([ADD_EXAMPLE], ["pocketwatch schedules add -f nightly.yaml --name nightly-2 --disable"]),
    )
    .action(async (flags: Flags) => {
      const session = open();
      const body = await newBody(session, flags);
      const schedule = await session.client.post<Schedule>("/v1/schedules", body);
      session.show(schedule, () => `${inline(schedule.name)} is made; ${nextOf(session, schedule)}.\n`);
    });
  addScheduleFlags(
    schedules
      .command("edit")
      .description("change a schedule by flags; without any, in $EDITOR")
      .argument("<schedule>", "its name or id"),
  )
    .option("--enable", "it is due again")
    .option("--label <name=value>", "adds a label or changes it; may be repeated", label)
    .option("--remove-label <name>", "may be repeated", several)
    .option("--reset <fields>", 'back to their defaults, such as "pool,retry.max_attempts"', list)
    .addHelpText(
      "after",
      examples(
        ["pocketwatch schedules edit nightly --cron '0 3 * * *' --max-attempts 5"],
        ["pocketwatch schedules edit nightly --reset pool --label team=ops"],
        ["pocketwatch schedules edit nightly", "in $EDITOR"],
      ),
    )
    .action(async (name: string, flags: Flags) => {
      const session = open();
      if (Object.keys(flags).length === 0) return editInEditor(session, name);
      const { body: before, etag } = await session.client.request<Schedule>("GET", at`/v1/schedules/${name}`);
      const body = await changeBody(session, flags, before);
      const path = at`/v1/schedules/${before.id}`;
      const { body: after } = await session.client.request<Schedule>("PATCH", path, { body, etag });
      showChange(session, before, after);
    });
}

async function newBody(session: Session, flags: Flags): Promise<Record<string, unknown>> {
  const given = await withPayload(session, bodyFromFlags(flags, session.here(zoneOf(flags))), flags);
  const file = typeof flags.file === "string" ? await readDocument(session, flags.file) : {};
  if (typeof file !== "object" || file === null || Array.isArray(file) || "schedules" in file) {
    throw wrongUsage("--file: expected one schedule; several are for `pocketwatch import`");
  }
  const base = file as Record<string, unknown>;
  const body: Record<string, unknown> = {
    ...merge(base, given),
    ...(flags.label === undefined ? {} : { labels: { ...(base.labels as object | undefined), ...flags.label } }),
  };
  for (const [field, flag] of [
    ["name", "--name"],
    ["action", "--action"],
  ] as const) {
    if (body[field] === undefined) throw wrongUsage(`say which: ${flag} is missing`);
  }
  const kind = (body.timing as { kind?: unknown } | undefined)?.kind;
  if (kind === undefined) throw wrongUsage("say when: --cron, --every, --at, --calendar, --manual or --on-event");
  return body;
}

async function changeBody(session: Session, flags: Flags, before: Schedule): Promise<Record<string, unknown>> {
  const body = await withPayload(session, bodyFromFlags(flags, session.here(zoneOf(flags, before.timing))), flags);
  if (flags.enable === true) {
    if (flags.disable === true) throw wrongUsage("--enable and --disable exclude each other");
    body.enabled = true;
  }
  if (flags.label !== undefined || flags.removeLabel !== undefined) {
    const labels = { ...before.labels, ...(flags.label as Record<string, string> | undefined) };
    for (const name of (flags.removeLabel as string[] | undefined) ?? []) delete labels[name];
    body.labels = labels;
  }
  for (const field of (flags.reset as string[] | undefined) ?? []) {
    const [head, below] = field.split(".") as [string, string | undefined];
    body[head] = below === undefined ? null : { ...(body[head] as object | undefined), [below]: null };
  }
  return body;
}

async function withPayload(session: Session, body: Record<string, unknown>, { payload }: Flags) {
  return typeof payload === "string" ? { ...body, payload: await parsePayload(session, payload) } : body;
}

/** Flags over a file: objects field by field, but a timing of another kind replaces the file's. */
function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...base };
  for (const [field, value] of Object.entries(over)) {
    const below = base[field];
    const both = isObject(value) && isObject(below) && field !== "payload";
    const otherKind = both && field === "timing" && value.kind !== undefined && value.kind !== below.kind;
    merged[field] = both && !otherKind ? { ...below, ...value } : value;
  }
  return merged;
}
