import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildRevision, buildService, hasRevision } from "../support/build.ts";
import { databaseUrl, dropDatabases, onServer } from "../support/database.ts";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { Servers } from "./servers.ts";
import type { FaultInstance, World } from "./world.ts";

/* 21. Two versions of the service at once, with migrations in between: the last one and this, this and the next. */

/** The last commit before migration 0007: what is deployed while this version's migrations come over it. */
const PREVIOUS = "6148828";

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

/** A database as the build's own migrations leave it. */
async function databaseOf(build: string, shared: Servers): ReturnType<Servers["createDatabase"]> {
  const server = shared.postgres!.url;
  const name = `faults_${randomBytes(4).toString("hex")}`;
  await onServer(server, (client) => client.query(`CREATE DATABASE ${name}`));
  const url = databaseUrl(server, name);
  const env = { PATH: process.env.PATH, DATABASE_URL: url, AMQP_URL: shared.amqpUrl };
  await promisify(execFile)(process.execPath, ["dist/main.js", "migrate"], { cwd: build, env });
  return { url, drop: () => dropDatabases(server, name) };
}

async function migrations(world: World): Promise<number> {
  const [row] = await world.rows<{ n: number }>("SELECT count(*)::int AS n FROM drizzle.__drizzle_migrations");
  return row!.n;
}

/** What a pass or the handling of messages has failed of. */
const failures = ({ log }: FaultInstance) =>
  log.filter(({ level, pass, queue }) => Number(level) >= 50 && (pass !== undefined || queue !== undefined));

if (!(await hasRevision(PREVIOUS))) {
  console.log(`Skipped: 21, the previous version beside this one (commit ${PREVIOUS} is not in this clone's history).`);
} else {
  let previous: Promise<string> | undefined;
  const buildPrevious = () => {
    previous ??= buildRevision(PREVIOUS);
    return previous;
  };
  scenario({
    name: `21 rolling upgrade from ${PREVIOUS} to this version, its migrations in between, under load`,
    plan: MIXED,
    seconds: 20,
    together: true,
    async servers(shared) {
      const build = await buildPrevious();
      return { ...shared, createDatabase: () => databaseOf(build, shared) };
    },
    async start(world) {
      const build = await buildPrevious();
      await Promise.all(["a", "b", "c"].map((name) => world.startInstance(name, { build })));
      world.startConsumer();
    },
    async fault(world) {
      const build = await buildPrevious();
      const before = await migrations(world);
      for (let at = 1; at < 4; at += 0.5) {
        await world.at(at);
        await Promise.all(["a", "b", "c"].map((name) => trigger(world, name)));
      }
      await world.startInstance("next", { build: world.servers.build });
      const after = await migrations(world);
      console.log(`21: ${after - before} migrations came over the version that was running`);
      if (after <= before) throw new Error("there is no migration between the two versions");
      // Statements that were prepared before the migrations may fail once for each connection.
      await world.at(9);
      const old = ["a", "b", "c"].map((name) => world.instance(name));
      const known = old.map((instance) => failures(instance).length);
      // One of the old version that dies meanwhile comes back on the new tables.
      await world.instance("c").kill();
      await world.startInstance("c", { build });
      for (let at = 10; at < 14; at += 0.5) {
        await world.at(at);
        await Promise.all(["a", "b", "c", "next"].map((name) => trigger(world, name)));
      }
      const lasting = [...old.slice(0, 2), world.instance("c")].flatMap((instance, index) =>
        failures(instance).slice(index < 2 ? known[index] : 0),
      );
      if (lasting.length > 0) throw new Error(`the old version cannot work: ${JSON.stringify(lasting[0])}`);
      await world.instance("a").stop();
      await world.startInstance("next-2", { build: world.servers.build });
      await world.at(17);
      await Promise.all([world.instance("b").stop(), world.instance("c").stop()]);
    },
  });
}

scenario({
  name: "21 two versions at once, this one and one that has another migration, under load",
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
