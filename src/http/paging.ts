import { z } from "zod";
import { text } from "../contracts/fields.ts";
import { unstorableText } from "../contracts/storable.ts";
import { wholeQuery } from "./fields.ts";
import { InvalidRequest } from "./problem.ts";

/** A list is answered a page at a time, in an order that does not change: a cursor is the key of the last item seen. */
export const pageQuery = {
  limit: wholeQuery(1, 500, 50),
  cursor: text(1, 2_000).optional().describe("next_cursor of the page before"),
};

export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next_cursor: z
      .string()
      .nullable()
      .describe(
        "For the next page; null: there is none. A page that looked through much may hold fewer items than asked for",
      ),
  });
}

/** What was found, and where looking for it stopped short of the end; null: it did not. */
export interface Found<Item> {
  readonly rows: readonly Item[];
  readonly looked_to: string | null;
}

/**
 * Asks for one item more than wanted, which says whether there is another page.
 * @param key what the order goes by
 */
export async function page<Item, Shown>(
  query: { readonly limit: number; readonly cursor?: string | undefined },
  fetch: (after: string | null, limit: number) => Promise<readonly Item[] | Found<Item>>,
  key: (item: Item) => string,
  show: (item: Item) => Shown,
): Promise<{ items: Shown[]; next_cursor: string | null }> {
  const after = query.cursor === undefined ? null : decode(query.cursor);
  const answer = await fetch(after, query.limit + 1);
  const { rows, looked_to } = "rows" in answer ? answer : { rows: answer, looked_to: null };
  const items = rows.slice(0, query.limit);
  const next = rows.length > items.length ? key(items.at(-1)!) : looked_to;
  return { items: items.map(show), next_cursor: next === null ? null : encode(next) };
}

function encode(key: string): string {
  return Buffer.from(key).toString("base64url");
}

function decode(cursor: string): string {
  const key = Buffer.from(cursor, "base64url").toString();
  // Only what encode makes is taken: base64url itself skips over whatever it does not know.
  if (key === "" || encode(key) !== cursor || unstorableText(key) !== null) throw invalidCursor();
  return key;
}

export function invalidCursor(): InvalidRequest {
  return new InvalidRequest([{ field: "cursor", message: "must be the next_cursor of an earlier answer" }]);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** For lists that go by id. */
export function idKey(key: string | null): string | null {
  if (key !== null && !UUID.test(key)) throw invalidCursor();
  return key;
}
