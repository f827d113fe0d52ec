import { type Command, Option } from "commander";
import { toIso } from "../schedule/instant.ts";
import { wrongUsage } from "./failures.ts";
import type { Here } from "./local-moments.ts";
import { MOMENT_HINT, readMoment } from "./moments.ts";
import { type Flag, POLICIES, TIMING, WHAT } from "./schedule-flag-list.ts";

export type Flags = Readonly<Record<string, unknown>>;

export function addTimingFlags(command: Command): Command {
  return addFlags(command, "When:", TIMING);
}

export function addScheduleFlags(command: Command): Command {
  addFlags(command, "What:", WHAT);
  addTimingFlags(command);
  return addFlags(command, "How it is treated:", POLICIES);
}

function addFlags(command: Command, group: string, flags: readonly Flag[]): Command {
  for (const { flags: syntax, text, read, choices } of flags) {
    const option = new Option(syntax, text).helpGroup(group);
    if (read !== undefined) option.argParser(read as (text: string, before: unknown) => unknown);
    if (choices !== undefined) option.choices(choices);
    command.addOption(option);
  }
  return command;
}

type Timing = Record<string, unknown>;
type Body = Record<string, unknown> & { timing?: Timing };

/** The fields that the flags name, arranged as the request wants them; `payload` is still the text of its flag. */
export function bodyFromFlags(given: Flags, here: Here): Body {
  const body: Body = {};
  for (const flag of [...WHAT, ...POLICIES]) put(body, flag, given, here);
  const timing = timingFromFlags(given, here);
  return timing === null ? body : { ...body, timing };
}

/** The timing that the flags name; without a kind where they only change a part of one. null: they name none. */
export function timingFromFlags(given: Flags, here: Here): Timing | null {
  const body: Body = {};
  for (const flag of TIMING) put(body, flag, given, here);
  if (body.timing === undefined) return null;
  const { at: when, ...rest } = body.timing;
  const kinds = { cron: rest.expression, interval: rest.every_seconds, once: when, calendar: rest.times };
  const named = Object.entries(kinds).flatMap(([kind, value]) => (value === undefined ? [] : [kind]));
  for (const flag of ["manual", "onEvent"]) if (given[flag] === true) named.push(String(rest.kind));
  if (named.length > 1)
    throw wrongUsage("--cron, --every, --at, --calendar, --manual and --on-event exclude each other");
  return {
    ...(named.length === 0 ? {} : { kind: named[0] }),
    ...rest,
    ...(when === undefined ? {} : onceAt(String(when), here)),
  };
}

/** The zone in which a schedule's local times are meant: the one named now, the one it has, or the service's default. */
export function zoneOf(given: Flags, timing: Flags = {}): string {
  return [given.timezone, timing.timezone].find((zone) => typeof zone === "string") ?? "UTC";
}

function onceAt(text: string, here: Here): Timing {
  if (/^\d{1,2}:\d\d(:\d\d)?$/.test(text)) return { time: text };
  return { at: readInstant("--at", text, here, ', or a local time of day ("14:30")') };
}

function put(body: Body, { flags, field, moment, value }: Flag, given: Flags, here: Here): void {
  const option = new Option(flags);
  const raw = given[option.attributeName()];
  if (raw === undefined) return;
  const read = moment ? readInstant(option.long!, String(raw), here, "") : value === undefined ? raw : value;
  const [head, below] = field.split(".") as [string, string | undefined];
  if (below === undefined) body[head] = read;
  else body[head] = { ...(body[head] as object | undefined), [below]: read };
}

function readInstant(flag: string, text: string, here: Here, more: string): string {
  const instant = readMoment(text, here);
  if (instant === null) throw wrongUsage(`${flag}: ${MOMENT_HINT}${more}`);
  return toIso(instant);
}
