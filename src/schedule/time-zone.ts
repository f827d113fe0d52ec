import { BoundedCache } from "./bounded-cache.ts";
import { InvalidInput } from "./errors.ts";
import { type OffsetSpan, offsetSpans } from "./zone-offsets.ts";

export interface Zone {
  /** The runtime's canonical name; aliases share their zone. */
  readonly name: string;
  /** The span that contains `second`, which must not precede 1970. */
  spanAt(second: number): OffsetSpan;
}

/**
 * The zone of an IANA name, canonical or alias, in any case.
 * @throws InvalidInput on `timezone`
 */
export function timeZone(name: unknown): Zone {
  if (typeof name !== "string") throw refusal("must be the name of a time zone, such as Europe/Berlin");
  // Only names the runtime knows get this far into the map, in one spelling of case, so it cannot grow without end.
  const key = name.toLowerCase();
  const known = zonesByName.get(key);
  if (known !== undefined) return known;

  if (/^(utc|gmt)?[+-]\d/.test(key) && key !== "gmt+0" && key !== "gmt-0") {
    throw refusal(
      `"${shown(name)}" is an offset, not a zone: name a place such as Europe/Berlin, or for a fixed offset a zone such as ` +
        "Etc/GMT-2 (which is two hours east of Greenwich)",
    );
  }
  if (AMBIGUOUS.has(key)) {
    throw refusal(`"${shown(name)}" is an abbreviation that means different zones in different places: name a place`);
  }
  const canonical = canonicalName(name);
  if (canonical === null) throw refusal(`"${shown(name)}" is not a time zone this server knows`);

  const zone = zonesByName.get(canonical.toLowerCase()) ?? createZone(canonical);
  zonesByName.set(canonical.toLowerCase(), zone);
  zonesByName.set(key, zone);
  return zone;
}

const zonesByName = new Map<string, Zone>();

/** ICU knows these beside tzdata's names and reads BST as Dhaka's time, AST as Anchorage's and IST as Kolkata's. */
const AMBIGUOUS = new Set(
  "act aet agt art ast bet bst cat cnt cst ctt eat ect iet ist jst mit net nst plt pnt prt pst sst vst".split(" "),
);

function canonicalName(name: string): string | null {
  if (name.length > 64) return null;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}

/** About a year, so that what is computed for a zone is what its schedules need: this year and the next. */
const CHUNK = 2 ** 25;
const CHUNKS_PER_ZONE = 128;

function createZone(name: string): Zone {
  if (name === "UTC") return { name, spanAt: () => UTC_SPAN };

  const chunks = new BoundedCache<number, readonly OffsetSpan[]>(CHUNKS_PER_ZONE);
  let latest: OffsetSpan = { from: 0, until: 0, offset: 0, offset_before: 0, offset_after: 0 };
  return {
    name,
    spanAt(second: number): OffsetSpan {
      if (second >= latest.from && second < latest.until) return latest;
      const index = Math.floor(second / CHUNK);
      const spans = chunks.get(index, () => offsetSpans(name, index * CHUNK, (index + 1) * CHUNK));
      let position = 0;
      while ((spans[position] as OffsetSpan).until <= second) position += 1;
      latest = spans[position] as OffsetSpan;
      return latest;
    },
  };
}

const UTC_SPAN: OffsetSpan = { from: 0, until: Number.MAX_SAFE_INTEGER, offset: 0, offset_before: 0, offset_after: 0 };

function refusal(message: string): InvalidInput {
  return new InvalidInput([{ field: "timezone", message }]);
}

function shown(name: string): string {
  return name.length > 40 ? `${name.slice(0, 40)}…` : name;
}
