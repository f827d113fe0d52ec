import type pg from "pg";

/** Runs that one claim takes. */
export const BATCH = 1_000;

/** What stands in a claim's way. */
export interface Situation {
  readonly name: string;
  readonly prepare: (sql: pg.Client) => Promise<unknown>;
  /** A transaction that began before stays open meanwhile. */
  readonly snapshot?: boolean;
  /** The runs in the way are due themselves, and are what is claimed. */
  readonly claimable?: boolean;
  /** Of the runs that are claimed where there is nothing in the way: a capped pool counts what is in flight there as well. */
  readonly beside?: (sql: pg.Client) => Promise<Record<string, string>>;
}

const POLICY = `'{"timeout_seconds": 3600, "heartbeat_seconds": null, "max_attempts": 3, "start_deadline_seconds": 86400,
  "notify_on": [], "overlap": "allow"}'`;

/** Inserts pending runs, due one hour ago; `columns` are SQL expressions over n. */
export async function insertRuns(sql: pg.Client, count: number, columns: Record<string, string> = {}): Promise<void> {
  const row: Record<string, string> = {
    ...{ action: "'bench'", action_version: "1", trigger_type: "'manual'", scheduled_for: "now()", policy: POLICY },
    ...{ available_at: "now() - interval '1 hour' + n * interval '1 millisecond'", status: "'pending'" },
    deadline_at: "now() + interval '1 day'",
    ...columns,
  };
  const names = Object.keys(row).join(", ");
  await sql.query(
    `INSERT INTO runs (${names}) SELECT ${Object.values(row).join(", ")} FROM generate_series(1, ${count}) AS n`,
  );
}

const inFullPools = (rows: number) => async (sql: pg.Client) => {
  await sql.query(
    "INSERT INTO pools (name, max_in_flight, drained) VALUES ('full', 10, false), ('drained', NULL, true) ON CONFLICT DO NOTHING",
  );
  await insertRuns(sql, 10, { pool: "'full'", status: "'running'" });
  await insertRuns(sql, rows / 2, { pool: "'full'", priority: "1 + n % 3" });
  await insertRuns(sql, rows / 2, { pool: "'drained'", priority: "1 + n % 3" });
};

async function inWidePool(sql: pg.Client): Promise<Record<string, string>> {
  await sql.query("INSERT INTO pools (name, max_in_flight) VALUES ('wide', 100000) ON CONFLICT DO NOTHING");
  return { pool: "'wide'", priority: "1 + n % 3" };
}

/** The situations with so many runs in the way. */
export const situations = (rows: number): Situation[] => [
  { name: "in a full pool and in a drained one", prepare: inFullPools(rows) },
  { name: "in a full pool and in a drained one, an old snapshot held", prepare: inFullPools(rows), snapshot: true },
  {
    name: "in backoff at high priority (half), due (half)",
    claimable: true,
    async prepare(sql) {
      const available_at = "now() + n * interval '1 second'";
      await insertRuns(sql, rows / 2, { priority: "1", status_reason: "'retry'", attempt: "2", available_at });
      await insertRuns(sql, rows / 2);
    },
  },
  {
    name: "waiting, of one schedule and of many",
    async prepare(sql) {
      const waiting = { status: "'waiting'", status_reason: "'buffered'", exclusive: "true" };
      await insertRuns(sql, rows / 2, { ...waiting, schedule_id: "'00000000-0000-0000-0000-000000000001'" });
      await insertRuns(sql, rows / 2, { ...waiting, schedule_id: "md5((n % 1000)::text)::uuid" });
    },
  },
  {
    name: "held by one breaker",
    async prepare(sql) {
      await insertRuns(sql, rows, {
        status: "'waiting'",
        status_reason: "'breaker_open'",
        breaker_key: "'bench:host'",
      });
      await sql.query(
        "INSERT INTO breakers (key, action, state, threshold, cooldown_seconds, opened_at) VALUES ('bench:host', 'bench', 'open', 5, 3600, now())",
      );
    },
  },
  {
    name: "flagged to be cancelled, at the head",
    prepare: (sql) =>
      insertRuns(sql, rows, { cancel_requested_at: "now()", available_at: "now() - interval '2 hours'" }),
  },
  {
    name: "in a capped pool with room, half in backoff",
    claimable: true,
    beside: inWidePool,
    async prepare(sql) {
      const wide = await inWidePool(sql);
      await insertRuns(sql, rows / 2, { ...wide, priority: "1", available_at: "now() + n * interval '1 second'" });
      await insertRuns(sql, rows / 2, wide);
    },
  },
];
