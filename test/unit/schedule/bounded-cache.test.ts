import { expect, test } from "vitest";
import { BoundedCache } from "../../../src/schedule/bounded-cache.ts";

test("makes a value once while it is in use", () => {
  const cache = new BoundedCache<string, number>(10);
  let made = 0;
  const make = () => ++made;
  for (let i = 0; i < 1_000; i++) {
    cache.get("used", make);
    cache.get(`passing ${i}`, () => 0);
  }
  expect(made).toBe(1);
});

test("forgets what nobody asks for", () => {
  const cache = new BoundedCache<number, number>(10);
  for (let i = 0; i < 30; i++) cache.get(i, () => i);
  expect(cache.get(0, () => -1)).toBe(-1);
});

test("remembers no failure", () => {
  const cache = new BoundedCache<string, number>(10);
  expect(() =>
    cache.get("key", () => {
      throw new Error("not now");
    }),
  ).toThrow("not now");
  expect(cache.get("key", () => 7)).toBe(7);
});
