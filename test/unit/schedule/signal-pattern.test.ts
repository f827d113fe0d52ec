import { expect, test } from "vitest";
import { matchesChannel, matchesPath } from "../../../src/schedule/signal-pattern.ts";
import { processorMs } from "./timings.ts";

test.each([
  ["a/b", "a/b", true],
  ["/a/b/", "a/b", true],
  ["a/b", "/a/b/", true],
  ["a/b", "a/b/c", false],
  ["a/b", "a", false],
  ["a/*", "a/b", true],
  ["a/*", "a", false],
  ["a/*", "a/b/c", false],
  ["*/b", "a/b", true],
  ["a/**", "a/b/c/d", true],
  ["a/**", "a", true],
  ["a/**", "b/a", false],
  ["**", "anything/at/all", true],
  ["a/**/z", "a/b/c/z", true],
  ["a/**/z", "a/z", true],
  ["a/**/z", "a/z/b", false],
  ["a/**/**/z", "a/z", true],
  ["A", "a", false],
  ["a.b", "aXb", false],
])("path pattern %s and %s: %s", (pattern, path, matches) => {
  expect(matchesPath(pattern, path)).toBe(matches);
});

test.each([
  ["orders.*.paid", "orders.eu.paid", true],
  ["orders.*.paid", "orders.paid", false],
  ["orders.#", "orders", true],
  ["orders.#", "orders.eu.paid", true],
  ["#.paid", "orders.eu.paid", true],
  ["#", "", true],
  ["*", "a.b", false],
])("channel pattern %s and %s: %s", (pattern, channel, matches) => {
  expect(matchesChannel(pattern, channel)).toBe(matches);
});

test("a pattern made to be slow is not", () => {
  const match = () => expect(matchesPath(`${"**/".repeat(200)}x`, `${"a/".repeat(1_000)}y`)).toBe(false);
  expect(processorMs(match)).toBeLessThan(200);
});
