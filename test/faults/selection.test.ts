import { METHOD } from "../support/amqp-proxy.ts";
import { MIXED } from "./plan.ts";
import { replaceDead, scenario, startDoomed } from "./scenario.ts";

/* Three faults of the table on the servers of `npm test`: half a minute. `npm run test:faults` runs them all. */

const short = { plan: MIXED.map((planned) => (planned.every ? planned : { ...planned, count: 50 })), seconds: 5 };

scenario({
  ...short,
  name: "1 kill -9 between commit and publish",
  together: true,
  start: startDoomed("lease_committed"),
  fault: replaceDead,
});

scenario({
  ...short,
  name: "2 connection dropped mid-confirm",
  together: true,
  async fault(world) {
    await world.at(2);
    for (const { toBroker } of world.instances) {
      toBroker.fromBroker = ({ method }, link) => {
        if (method !== METHOD.ack) return true;
        toBroker.fromBroker = null;
        link.cut();
        return false;
      };
    }
  },
});

scenario({
  ...short,
  name: "8 replies to COMMIT lost and backends terminated",
  together: true,
  async fault(world) {
    for (let at = 1; at < 4; at += 0.5) {
      await world.at(at);
      for (const { toPostgres } of world.instances) toPostgres.loseCommits(1);
      await world.at(at + 0.25);
      await world.rows(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'pocketwatch%'`,
      );
    }
  },
});
