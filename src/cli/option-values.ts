import { InvalidArgumentError } from "commander";
import { readDuration } from "./moments.ts";

/* How the values of options are read. Commander names the option in front of what is thrown here. */

export function seconds(text: string): number {
  const duration = readDuration(text);
  if (duration === null) throw new InvalidArgumentError('Expected a duration such as "90s", "5m", "1h30m" or "2d".');
  return duration;
}

export function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^-?\d{1,10}$/.test(text) && value >= least) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${least} on.`);
  };
}

export function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Expected a number.");
}

/** An option that may be given several times. */
export function several(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** Several in one, separated by commas, or several of them. */
export function list(text: string, before: readonly string[] = []): string[] {
  const parts = text.split(",").map((part) => part.trim());
  return [...before, ...parts.filter((part) => part !== "")];
}

export function wholeList(text: string, before: readonly number[] = []): number[] {
  return [...before, ...list(text).map(whole(-31))];
}

/** `team=ops`, several times. */
export function label(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError('Expected name=value, such as "team=ops".');
  const [name, value] = [text.slice(0, equals), text.slice(equals + 1)];
  if (Object.hasOwn(before, name) && before[name] !== value) {
    throw new InvalidArgumentError(`${name} is ${before[name]} already: a label has one value.`);
  }
  return { ...before, [name]: value };
}
