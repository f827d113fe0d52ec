import { CronDate, CronExpressionParser } from "cron-parser";
import { BoundedCache } from "./bounded-cache.ts";
import { readItem } from "./cron-items.ts";

/** One of the six fields: what it is called and which values it takes. */
export interface FieldDefinition {
  readonly name: string;
  readonly position: 0 | 1 | 2 | 3 | 4 | 5;
  readonly property: "second" | "minute" | "hour" | "dayOfMonth" | "month" | "dayOfWeek";
  readonly min: number;
  readonly max: number;
  /** Three-letter names, in order from `min`. */
  readonly names: readonly string[];
  /** How many different values there are; a longer step is a mistake. */
  readonly size: number;
  /** What a bare `H` draws from: no month lacks day 28, and Sunday must not have two chances. */
  readonly hash_range: string;
}

export const SECOND: FieldDefinition = field("second", 0, "second", 0, 59, 60, "");
export const MINUTE: FieldDefinition = field("minute", 1, "minute", 0, 59, 60, "");
export const HOUR: FieldDefinition = field("hour", 2, "hour", 0, 23, 24, "");
export const DAY_OF_MONTH: FieldDefinition = field("day of month", 3, "dayOfMonth", 1, 31, 31, "(1-28)");
export const MONTH: FieldDefinition = {
  ...field("month", 4, "month", 1, 12, 12, ""),
  names: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
export const DAY_OF_WEEK: FieldDefinition = {
  ...field("day of week", 5, "dayOfWeek", 0, 7, 7, "(0-6)"),
  names: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/** What one field matches. Weekdays count from 0, Sunday. */
export interface ExpandedField {
  readonly values: readonly number[];
  /** `L` as a day of the month. */
  readonly last_day: boolean;
  /** `5#3`: the third Friday. */
  readonly nth_weekdays: readonly { readonly weekday: number; readonly nth: number }[];
  /** `5L` or `5#L`: the last Friday. */
  readonly last_weekdays: readonly number[];
  /** Only a field whose first entry is `*` (or `?`) leaves the day to the other day field (OCPS 1.1, 6.1). */
  readonly restricted: boolean;
}

/**
 * Expands the text of one field, in upper case. cron-parser does it, entry by entry of the list: there are few different
 * entries (`*`, `0`, `MON-FRI` …), so that thousands of expressions cost a handful of its 10 µs parses, and lists that it
 * refuses (`MON#1,MON#3`, `5,1-6`) become possible.
 * @param seed decides every `H`
 * @throws Error with a message for people, without the field's name
 */
export function expandField(definition: FieldDefinition, text: string, seed: string): ExpandedField {
  const make = () => expandItems(definition, text, seed);
  return isHashed(text) ? make() : fields.get(`${definition.position} ${text}`, make);
}

/** Whether the value of a field (in upper case) depends on the seed. THU does not. */
export function isHashed(text: string): boolean {
  return /(^|,)H/.test(text);
}

/** An entry or field takes about half a kilobyte; real schedules have a few hundred different ones. */
const fields = new BoundedCache<string, ExpandedField>(2_000);
const items = new BoundedCache<string, ExpandedItem>(2_000);

function expandItems(definition: FieldDefinition, text: string, seed: string): ExpandedField {
  const expanded = text.split(",").map((item) => {
    const canonical = readItem(definition, item, text);
    const make = () => expandItem(definition, canonical, seed);
    return isHashed(canonical) ? make() : items.get(`${definition.position} ${canonical}`, make);
  });
  const plain = expanded.filter(({ nth, last }) => nth === 0 && !last);
  return {
    values: [...new Set(plain.flatMap(({ values }) => values))],
    last_day: expanded.some(({ last, values }) => last && values.length === 0),
    nth_weekdays: expanded.flatMap(({ nth, values }) => (nth > 0 ? values.map((weekday) => ({ weekday, nth })) : [])),
    last_weekdays: expanded.flatMap(({ last, values }) => (last ? values : [])),
    restricted: !/^[*?](,|$)/.test(text),
  };
}

interface ExpandedItem {
  readonly values: readonly number[];
  readonly nth: number;
  readonly last: boolean;
}

const NO_DATE = new CronDate(0, "UTC");

function expandItem(definition: FieldDefinition, item: string, seed: string): ExpandedItem {
  // The other fields hold one value, because cron-parser's time goes into expanding and checking them. `H` draws anew for
  // every field, so that it stays what it would be in the whole expression.
  const texts = ["0", "0", "0", definition === DAY_OF_WEEK ? "*" : "1", "1", "*"];
  texts[definition.position] = item;
  const { fields: parsed } = CronExpressionParser.parse(texts.join(" "), {
    // Without a date of our own it would read the clock, and without a seed it would draw H at random.
    currentDate: NO_DATE,
    hashSeed: seed === "" ? " " : seed,
    strict: true,
  });
  // `5L` comes as that text, and the `L` of a day of the month as a text without a number.
  const values = parsed[definition.property].values.flatMap((value) => {
    const number = typeof value === "number" ? value : Number.parseInt(value, 10);
    return Number.isNaN(number) ? [] : [definition === DAY_OF_WEEK ? number % 7 : number];
  });
  return { values, nth: parsed.dayOfWeek.nthDay, last: item.endsWith("L") };
}

function field(
  name: string,
  position: FieldDefinition["position"],
  property: FieldDefinition["property"],
  min: number,
  max: number,
  size: number,
  hash_range: string,
): FieldDefinition {
  return { name, position, property, min, max, size, hash_range, names: [] };
}
