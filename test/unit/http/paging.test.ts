import { expect, test } from "vitest";
import { idKey, page } from "../../../src/http/paging.ts";

const items = ["a", "b", "ü/🎉", "d"];
const list = (query: { limit: number; cursor?: string | undefined }) =>
  page(
    query,
    async (after, limit) => items.filter((_, index) => index > items.indexOf(after ?? "")).slice(0, limit),
    (item) => item,
    (item) => item.toUpperCase(),
  );

test("walks through everything once, whatever the keys are made of", async () => {
  for (const limit of [1, 2, 3, 4, 5]) {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const answer = await list({ limit, cursor });
      expect(answer.items.length).toBeLessThanOrEqual(limit);
      seen.push(...answer.items);
      cursor = answer.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(["A", "B", "Ü/🎉", "D"]);
  }
});

test("there is no next page where the last one is just full", async () => {
  expect((await list({ limit: 4 })).next_cursor).toBeNull();
  expect((await list({ limit: 3 })).next_cursor).not.toBeNull();
});

test.each(["", "!", "YQ==", "AA", "/w", "YQ "])("refuses the cursor %j, which nobody was given", async (cursor) => {
  await expect(list({ limit: 1, cursor })).rejects.toMatchObject({ errors: [{ field: "cursor" }] });
});

test("lists by id take ids only", () => {
  expect(idKey(null)).toBeNull();
  expect(idKey("0199e1aa-0000-7000-8000-000000000001")).toBe("0199e1aa-0000-7000-8000-000000000001");
  expect(() => idKey("a")).toThrow();
});
