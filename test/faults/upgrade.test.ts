import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildService } from "../support/build.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { World } from "./world.ts";

/* 21. Two versions of the service at once, with a migration in between that touches the busiest tables. */

const MIGRATION = `
  ALTER TABLE runs ADD COLUMN next_version text DEFAULT 'old';
  --> statement-breakpoint
  ALTER TABLE schedules ADD COLUMN next_version text;
  --> statement-breakpoint
  CREATE INDEX runs_next_version ON runs (next_version) WHERE next_version IS NOT NULL;`;

/** The service as it is, with one migration more: what the next version does to this one that is still running. */
async function buildNextVersion(): Promise<string> {
  const build = await buildService();
  const file = join(build, "drizzle/meta/_journal.json");
  const journal = JSON.parse(await readFile(file, "utf8")) as { entries: { idx: number; when: number; tag: string }[] };
  const last = journal.entries.at(-1)!;
  journal.entries.push({ ...last, idx: last.idx + 1, when: last.when + 1_000, tag: "9999_next_version" });
  await writeFile(file, JSON.stringify(journal));
  await writeFile(join(build, "drizzle/9999_next_version.sql"), MIGRATION);
  return build;
}

const trigger = async (world: World, name: string) => {
  const answer = await fetch(`${world.instance(name).http}/v1/runs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ action: "work.item", payload: {} }),
  });
  if (answer.status !== 201) throw new Error(`${name} answered ${answer.status}: ${await answer.text()}`);
};

scenario({
  name: "21 two versions at once, a migration in between, under load",
  plan: MIXED,
  seconds: 15,
  together: true,
  async fault(world) {
    // Statements that were prepared before the migration are used again after it.
    for (let at = 1; at < 4; at += 0.5) {
      await world.at(at);
      await Promise.all(["a", "a", "b", "b"].map((name) => trigger(world, name)));
    }
    const build = await buildNextVersion();
    await world.startInstance("next", { build });
    for (let at = 8; at < 12; at += 0.5) {
      await world.at(at);
      await Promise.all(["a", "a", "b", "b", "next"].map((name) => trigger(world, name)));
    }
    await Promise.all([world.instance("a").stop(), world.instance("b").stop()]);
  },
});
