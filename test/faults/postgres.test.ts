import pg from "pg";
import { MIXED } from "./plan.ts";
import { scenario } from "./scenario.ts";
import type { World } from "./world.ts";

/* 7, 8 and 20: what happens to sessions of Postgres, and between them. The server itself lives. */

const proxies = (world: World) => world.instances.map((instance) => instance.toPostgres);

scenario({
  name: "7 silent partition of one instance from Postgres, 60 s",
  together: true,
  async fault(world) {
    await world.at(2);
    world.instance("a").toPostgres.stall();
    await world.at(62);
    world.instance("a").toPostgres.resume();
  },
  seconds: 63,
  settle_seconds: 90,
  expectations: { delay: 90 },
});

scenario({
  name: "7 silent partition of everybody from Postgres, 60 s",
  together: true,
  async fault(world) {
    await world.at(2);
    for (const proxy of proxies(world)) proxy.stall();
    await world.at(62);
    for (const proxy of proxies(world)) proxy.resume();
  },
  seconds: 63,
  settle_seconds: 90,
  expectations: { delay: 90 },
});

scenario({
  name: "7 one instance cut off from Postgres for 60 s: the other one takes the status updates that it holds",
  together: true,
  async fault(world) {
    await world.at(2);
    world.instance("a").toPostgres.refuse();
    await world.at(62);
    world.instance("a").toPostgres.resume();
  },
  seconds: 63,
  async check(world) {
    const [row] = await world.rows<{ longest: number }>(
      "SELECT extract(epoch FROM max(completed_at - dispatched_at))::float8 AS longest FROM runs",
    );
    if (row!.longest > 10) throw new Error(`an answer took ${row!.longest} s to get into the database`);
  },
});

scenario({
  name: "7 the network forgets the connections to Postgres; new ones work",
  together: true,
  async fault(world) {
    await world.at(2);
    for (const proxy of proxies(world)) proxy.forget();
  },
  settle_seconds: 90,
});

scenario({
  name: "8 backends terminated in any statement, every 100 ms",
  together: true,
  async fault(world) {
    for (let at = 1; at < 6; at += 0.1) {
      await world.at(at);
      await world.rows(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'pocketwatch%'`,
      );
    }
  },
});

scenario({
  name: "8 replies to COMMIT lost, 40 times",
  together: true,
  async fault(world) {
    for (let at = 1; at < 6; at += 0.25) {
      await world.at(at);
      for (const proxy of proxies(world)) proxy.loseCommits(1);
    }
  },
  async check(world) {
    const lost = proxies(world).reduce((sum, proxy) => sum + proxy.lost, 0);
    if (lost < 20) throw new Error(`only ${lost} commits were lost`);
  },
});

scenario({
  name: "20 a transaction held open for 120 s under load, with a snapshot and locks on schedules",
  together: true,
  plan: [...MIXED, { name: "load", count: 60, every: 1, columns: { overlap: "allow", catchup: "all" } }],
  async fault(world) {
    const [reader, editor] = [1, 2].map(() => new pg.Client({ connectionString: world.databaseUrl }));
    await Promise.all([reader!.connect(), editor!.connect()]);
    await reader!.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await reader!.query("SELECT count(*) FROM runs");
    await editor!.query("BEGIN");
    await editor!.query(
      "UPDATE schedules SET description = 'held' WHERE name IN ('steady 0', 'exclusive 0', 'fleet 0')",
    );
    await world.at(120);
    for (const holder of [reader!, editor!]) {
      await holder.query("COMMIT");
      await holder.end();
    }
  },
  seconds: 121,
  settle_seconds: 90,
  expectations: { delay: 150 },
});
