import { isDataError, type Tx } from "./connection.ts";

/**
 * Writes items, and answers what came of each part.
 * @param write writes some of them by statements that Postgres may refuse
 * @param refuse what becomes of one that it refuses by itself
 */
export type WriteItems = <Item, Result>(
  tx: Tx,
  items: readonly Item[],
  write: (items: readonly Item[]) => Promise<Result>,
  refuse: (item: Item, error: Error) => Promise<Result>,
) => Promise<Result[]>;

/** A batch that Postgres refuses is halved until the offender stands alone, and all others are written. */
export const writeByHalves: WriteItems = async (tx, items, write, refuse) => {
  const [first] = items;
  if (first === undefined) return [];
  await tx.query("SAVEPOINT items");
  try {
    const result = await write(items);
    await tx.query("RELEASE SAVEPOINT items");
    return [result];
  } catch (error) {
    if (!isDataError(error)) throw error;
    await tx.query("ROLLBACK TO SAVEPOINT items");
    if (items.length === 1) return [await refuse(first, error as Error)];
    const middle = items.length >> 1;
    const early = await writeByHalves(tx, items.slice(0, middle), write, refuse);
    return [...early, ...(await writeByHalves(tx, items.slice(middle), write, refuse))];
  }
};

const writeWhole: WriteItems = async (_tx, items, write) => (items.length === 0 ? [] : [await write(items)]);

/**
 * Makes a transaction without savepoints; if Postgres refuses it, a second one that writes by halves. A row that a transaction locks
 * and a savepoint's part of it updates gets a multixact, which is dear, and which keeps index scans from passing over the dead row
 * the next time.
 */
export async function wholeFirst<T>(transaction: (writeItems: WriteItems) => Promise<T>): Promise<T> {
  try {
    return await transaction(writeWhole);
  } catch (error) {
    if (!isDataError(error)) throw error;
    return transaction(writeByHalves);
  }
}
