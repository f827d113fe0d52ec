import type { FieldDefinition } from "./cron-fields.ts";

/**
 * Reads one entry of a cron field, in upper case, and gives it back as cron-parser understands it, in numbers. It refuses
 * what cron-parser would let pass (`0-59/70`, `1,,2`), what means different things in different crons, and what
 * is not supported, each in words a person can act on.
 * @throws Error with a message for people, without the field's name
 */
export function readItem(definition: FieldDefinition, item: string, text: string): string {
  if (item === "") throw new Error(`"${shown(text)}" has an empty entry in its list`);
  if (item.startsWith("H")) return readHash(definition, item);
  if (definition.position === 3 && item === "L") return item;
  if (definition.position === 5 && /#|L$/.test(item)) return readWeekdayOfMonth(definition, item);

  const match = ITEM.exec(item);
  if (match === null) throw unreadable(definition, item);
  const [, start = "", end, step] = match;
  const wildcard = start === "*" || start === "?";
  if (wildcard && end !== undefined) throw unreadable(definition, item);
  if (start === "?" && (text !== "?" || !isDayField(definition))) throw unreadable(definition, item);

  const low = wildcard ? start : readValue(definition, start, item);
  const high = end === undefined ? undefined : readValue(definition, end, item, low !== 0);
  if (typeof low === "number" && high !== undefined && low > high) {
    throw new Error(
      `the range ${shown(item)} runs backwards; write it as two, such as ${start}-${top(definition)},${bottom(definition)}-${end}`,
    );
  }
  return `${low}${high === undefined ? "" : `-${high}`}${step === undefined ? "" : `/${readStep(definition, step, item)}`}`;
}

const ITEM = /^(\*|\?|\d+|[A-Z]+)(?:-(\d+|[A-Z]+))?(?:\/(\d+))?$/;
const HASH = /^H(?:\((\d+)-(\d+)\))?(?:\/(\d+))?$/;

function readHash(definition: FieldDefinition, item: string): string {
  const match = HASH.exec(item);
  if (match === null) throw unreadable(definition, item);
  const [, from, to, step] = match;
  let range = definition.hash_range;
  if (from !== undefined && to !== undefined) {
    const low = readValue(definition, from, item);
    const high = readValue(definition, to, item);
    if (low > high) throw new Error(`the range of ${shown(item)} runs backwards`);
    range = `(${low}-${high})`;
  }
  return `H${range}${step === undefined ? "" : `/${readStep(definition, step, item)}`}`;
}

/** `5#3`, `FRI#L` and `5L`. */
function readWeekdayOfMonth(definition: FieldDefinition, item: string): string {
  const [, weekday = "", nth] = /^(\d+|[A-Z]{3})(L|#.*)$/.exec(item) ?? [];
  if (weekday === "") throw unreadable(definition, item);
  const value = readValue(definition, weekday, item);
  if (nth === "L" || nth === "#L") return `${value}L`;
  if (!/^#[1-5]$/.test(nth ?? "")) throw new Error(`${shown(item)}: after # stands 1 to 5, or L for the last`);
  return `${value}${nth}`;
}

function readValue(definition: FieldDefinition, text: string, item: string, ends_range = false): number {
  const named = definition.names.indexOf(text);
  // FRI-SUN: as the end of a range Sunday is 7 (OCPS 1.1, 4.2).
  if (named === 0 && ends_range && definition.min === 0) return definition.max;
  if (named >= 0) return definition.min + named;
  if (!/^\d{1,2}$/.test(text)) throw unreadable(definition, item);
  const value = Number(text);
  if (value < definition.min || value > definition.max) {
    throw new Error(`${value} is outside ${definition.min}-${definition.max}`);
  }
  return value;
}

function readStep(definition: FieldDefinition, text: string, item: string): number {
  const step = Number(text);
  if (step === 0) throw new Error(`${shown(item)}: a step must be at least 1`);
  if (step > definition.size) {
    throw new Error(`${shown(item)}: the step is longer than the field, which has ${definition.size} values`);
  }
  return step;
}

function unreadable(definition: FieldDefinition, item: string): Error {
  const entry = shown(item);
  if (isDayField(definition) && /^(\d*|L)W$/.test(item)) {
    return new Error(`${entry}: W (the nearest weekday, OCPS 1.3) is not supported`);
  }
  if (isDayField(definition) && /^L-\d+$/.test(item)) {
    return new Error(
      `${entry}: counting back from the last day is not supported; kind calendar can, with days_of_month`,
    );
  }
  if (item.includes("?")) return new Error(`${entry}: ? stands alone, and only as day of month or day of week; use *`);
  if (item.includes("+")) return new Error(`${entry}: + stands only at the beginning of the day of week (OCPS 1.4)`);
  if (item.includes("~")) return new Error(`${entry}: a random value (~) is not supported; H draws one that lasts`);
  const letters = definition.names.length === 0 ? "" : ` or ${definition.names[0]} to ${definition.names.at(-1)}`;
  return new Error(`cannot read "${entry}"; values are ${definition.min}-${definition.max}${letters}`);
}

function shown(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function isDayField(definition: FieldDefinition): boolean {
  return definition.position === 3 || definition.position === 5;
}

function top(definition: FieldDefinition): string {
  return definition.names.at(-1) ?? String(definition.max);
}

function bottom(definition: FieldDefinition): string {
  return definition.names[0] ?? String(definition.min);
}
