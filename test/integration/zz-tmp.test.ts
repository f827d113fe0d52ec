import { inject, test } from "vitest";
import { createTestDatabase, onServer } from "../support/database.ts";

test("timing", async () => {
  for (let i = 0; i < 4; i++) {
    const t = performance.now();
    const d = await createTestDatabase();
    const t2 = performance.now();
    await d.drop();
    console.log(t2 - t, performance.now() - t2);
  }
  await onServer(inject("postgresUrl"), async (c) => {
    for (const s of ["wal_log", "file_copy"])
      for (let i = 0; i < 3; i++) {
        const t = performance.now();
        await c.query(`CREATE DATABASE x${s}${i} TEMPLATE pocketwatch_${inject("runId")}_template STRATEGY ${s}`);
        const t2 = performance.now();
        await c.query(`DROP DATABASE x${s}${i}`);
        console.log(s, t2 - t, performance.now() - t2);
      }
    console.log(
      (await c.query("show data_directory")).rows,
      (await c.query("select datname, pg_database_size(datname) from pg_database")).rows,
    );
  });
  await new Promise((r) => setTimeout(r, Number(process.env.HANG ?? 0)));
}, 60000);
