import { describe, expect, test } from "vitest";
import { InvalidInput } from "../../../src/schedule/errors.ts";
import { timeZone } from "../../../src/schedule/time-zone.ts";
import { at, seeded } from "./timings.ts";

describe("offsets", () => {
  test("equal what Intl says, in every zone, at random instants from 1970 to 2110", () => {
    const random = seeded();
    for (const name of Intl.supportedValuesOf("timeZone")) {
      const zone = timeZone(name);
      const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
      for (let i = 0; i < 25; i++) {
        const second = random(140 * 365 * 86_400);
        const [, sign, h, m, s] = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format.format(second * 1000)) ?? [];
        const expected = (sign === "-" ? -1 : 1) * (Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0));
        const span = zone.spanAt(second);
        expect(span.offset === expected && span.from <= second && second < span.until, `${name} ${second}`).toBe(true);
      }
    }
  });

  test("spans join, so that one knows the offset on both sides of every change", () => {
    for (const name of ["Europe/Berlin", "Pacific/Apia", "Africa/Casablanca", "Asia/Gaza", "Asia/Kathmandu", "UTC"]) {
      const zone = timeZone(name);
      for (let second = 0; second < at("2060-01-01T00:00:00Z") / 1000; ) {
        const span = zone.spanAt(second);
        if (second > 0) expect(span.from).toBe(second);
        const next = zone.spanAt(span.until);
        expect([next.offset, next.offset_before]).toEqual([span.offset_after, span.offset]);
        second = span.until;
      }
    }
  });

  test("two changes one week apart are both found", () => {
    const zone = timeZone("America/Noronha");
    expect(zone.spanAt(at("2000-10-08T12:00:00Z") / 1000).offset).toBe(-3600);
    expect(zone.spanAt(at("2000-10-15T12:00:00Z") / 1000).offset).toBe(-7200);
  });

  test("do not depend on the order in which they are asked for", () => {
    const zone = timeZone("Europe/Berlin");
    const seconds = [2030.5, 1975, 2030.5, 5000, 2026, 9999.9].map((year) =>
      Math.floor((year - 1970) * 365.2425 * 86_400),
    );
    const offsets = seconds.map((second) => zone.spanAt(second).offset);
    expect(seconds.toReversed().map((second) => zone.spanAt(second).offset)).toEqual(offsets.toReversed());
  });
});

describe("names", () => {
  // Whether the runtime calls an alias by its canonical name depends on its version, so only the offset is compared.
  test.each([
    ["UTC", 0],
    ["Etc/UTC", 0],
    ["Zulu", 0],
    ["GMT+0", 0],
    ["europe/BERLIN", 7_200],
    ["US/Pacific", -25_200],
    ["Eire", 3_600],
    ["Asia/Calcutta", 19_800],
    ["Asia/Kolkata", 19_800],
    ["EST5EDT", -14_400],
    // The sign is POSIX's: two hours east of Greenwich.
    ["Etc/GMT-2", 7_200],
  ])("%s is known", (name, offset) => {
    expect(timeZone(name).spanAt(at("2026-07-01T00:00:00Z") / 1000).offset).toBe(offset);
    expect(timeZone(name.toUpperCase())).toBe(timeZone(name));
  });

  test.each([
    ["Europe/Atlantis", "not a time zone this server knows"],
    ["", "not a time zone"],
    ["Europe/Berlin ", "not a time zone"],
    ["localtime", "not a time zone"],
    ["x".repeat(10_000), "not a time zone"],
    ["+02:00", "is an offset"],
    ["-05", "is an offset"],
    ["UTC+2", "is an offset"],
    ["GMT+5", "is an offset"],
    ["BST", "abbreviation"],
    ["ist", "abbreviation"],
    [null, "must be the name"],
    [42, "must be the name"],
  ])("%j is refused", (name, message) => {
    expect.assertions(2);
    try {
      timeZone(name);
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidInput);
      expect((error as InvalidInput).errors).toEqual([
        { field: "timezone", message: expect.stringContaining(message) },
      ]);
    }
  });
});
