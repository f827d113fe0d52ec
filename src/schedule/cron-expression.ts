import { BoundedCache } from "./bounded-cache.ts";
import { FIRST_DAY, LAST_DAY, type LocalPattern } from "./calendar-walk.ts";
import {
  DAY_OF_MONTH,
  DAY_OF_WEEK,
  type ExpandedField,
  expandField,
  type FieldDefinition,
  HOUR,
  isHashed,
  MINUTE,
  MONTH,
  SECOND,
} from "./cron-fields.ts";
import { canOccur, type DayRule, dayRule } from "./day-rule.ts";
import { type FieldError, InvalidInput } from "./errors.ts";
import { CronTimes, FieldSet } from "./time-of-day.ts";

export interface CronPattern {
  readonly pattern: LocalPattern;
  /** All 24 hours match, however it is written (`*`, `0-23`): the expression speaks of minutes, not of hours. */
  readonly every_hour: boolean;
}

/**
 * Compiles a cron expression of 5 fields, 6 with seconds first, or a nickname. docs/cron.md says what is understood.
 * @param seed what `H` depends on: the schedule's name
 * @throws InvalidInput on `cron_expression`, one error for each field at fault
 */
export function cronPattern(expression: string, seed: string): CronPattern {
  if (expression.length > LONGEST) throw refusal([`is longer than ${LONGEST} characters`]);
  const key = /(^|[\s,+])h/i.test(expression) ? `${expression}\n${seed}` : expression;
  return patterns.get(key, () => compile(expression, seed));
}

/** Every value of every field, written out, takes about 500 characters. */
const LONGEST = 1_000;
/** About 400 bytes each, because expressions share their fields' sets and day rules. */
const patterns = new BoundedCache<string, CronPattern>(20_000);
const sets = new BoundedCache<string, FieldSet>(2_000);
const rules = new BoundedCache<string, DayRule>(2_000);

/** Case-sensitive, as in Vixie cron and OCPS 1.1. The last four are cron-parser's own. */
const NICKNAMES: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
  ["@minutely", "* * * * *"],
  ["@secondly", "* * * * * *"],
  ["@weekdays", "0 0 * * 1-5"],
  ["@weekends", "0 0 * * 0,6"],
]);

function compile(expression: string, seed: string): CronPattern {
  const texts = splitFields(expression);
  // OCPS 1.4: `+MON` asks for both day fields to match.
  const both = (texts[DAY_OF_WEEK.position] as string).startsWith("+");
  if (both) texts[DAY_OF_WEEK.position] = (texts[DAY_OF_WEEK.position] as string).slice(1);

  const faults: string[] = [];
  const expand = (definition: FieldDefinition): ExpandedField => {
    try {
      return expandField(definition, texts[definition.position] as string, seed);
    } catch (error) {
      faults.push(`${definition.name}: ${(error as Error).message}`);
      return NOTHING;
    }
  };
  const [seconds, minutes, hours] = [expand(SECOND), expand(MINUTE), expand(HOUR)];
  const [days, months, weekdays] = [expand(DAY_OF_MONTH), expand(MONTH), expand(DAY_OF_WEEK)];
  if (faults.length > 0) throw refusal(faults);

  const month_bits = months.values.reduce((bits, month) => bits | (1 << (month - 1)), 0);
  // An H in a day field makes the rule depend on the seed, so it must not be found under the text alone.
  const make = () => cronDays(days, weekdays, both);
  const day_text = texts[DAY_OF_MONTH.position] as string;
  const weekday_text = texts[DAY_OF_WEEK.position] as string;
  const hashed = isHashed(day_text) || isHashed(weekday_text);
  const rule = hashed ? make() : rules.get(`${both} ${day_text} ${weekday_text}`, make);
  if (!canOccur(rule, month_bits)) throw refusal(["never happens: no month it names has such a day"]);

  return {
    pattern: {
      months: month_bits,
      days: rule,
      times: new CronTimes(fieldSet(HOUR, hours), fieldSet(MINUTE, minutes), fieldSet(SECOND, seconds)),
      first_day: FIRST_DAY,
      last_day: LAST_DAY,
    },
    every_hour: hours.values.length === HOUR.size,
  };
}

/** Six texts, seconds first, in upper case. */
function splitFields(expression: string): string[] {
  const stray = /[^\x20-\x7e\t]/u.exec(expression);
  if (stray !== null) throw refusal([`has a character that no cron expression has: ${JSON.stringify(stray[0])}`]);
  const text = expression.replace(/^[ \t]+|[ \t]+$/g, "");
  if (text === "") throw refusal(["is empty"]);
  if (/^(CRON_)?TZ=/.test(text)) throw refusal(["names a zone; put it into timezone instead"]);
  if (text.startsWith("@") && !NICKNAMES.has(text)) throw refusal([unknownNickname(text)]);

  const fields = (NICKNAMES.get(text) ?? text).toUpperCase().split(/[ \t]+/);
  if (fields.length === 7) {
    throw refusal(["has 7 fields; a year (OCPS 1.2) is not supported, use starts_at and ends_at"]);
  }
  if (fields.length !== 5 && fields.length !== 6) {
    const number = fields.length === 1 ? "1 field" : `${fields.length} fields`;
    throw refusal([
      `has ${number}; it takes 5 (minute, hour, day of month, month, day of week), or 6 with the second first`,
    ]);
  }
  return fields.length === 5 ? ["0", ...fields] : fields;
}

function unknownNickname(text: string): string {
  if (text === "@reboot") return "@reboot is not supported: a schedule belongs to no machine that could start up";
  if (text.startsWith("@every")) return "@every is not supported; use kind interval";
  return `"${text.slice(0, 40)}" is not a nickname; there are ${[...NICKNAMES.keys()].join(", ")} (in lower case, alone)`;
}

function cronDays(days: ExpandedField, weekdays: ExpandedField, both: boolean): DayRule {
  const either = days.restricted && weekdays.restricted && !both;
  return dayRule((day, length, weekday) => {
    const by_day = days.values.includes(day) || (days.last_day && day === length);
    const by_weekday =
      weekdays.values.includes(weekday) ||
      (weekdays.last_weekdays.includes(weekday) && day + 7 > length) ||
      weekdays.nth_weekdays.some((nth) => nth.weekday === weekday && Math.ceil(day / 7) === nth.nth);
    return either ? by_day || by_weekday : by_day && by_weekday;
  });
}

function fieldSet(definition: FieldDefinition, { values }: ExpandedField): FieldSet {
  const sorted = [...values].sort((a, b) => a - b);
  return sets.get(`${definition.position} ${sorted.join()}`, () => new FieldSet(sorted, definition.size));
}

const NOTHING: ExpandedField = { values: [], last_day: false, nth_weekdays: [], last_weekdays: [], restricted: true };

function refusal(messages: readonly string[]): InvalidInput {
  return new InvalidInput(messages.map((message): FieldError => ({ field: "cron_expression", message })));
}
