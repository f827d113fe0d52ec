import { connect } from "amqplib";
import type { DeliveryRecord, ReportRecord } from "../support/ledger-consumer.ts";
import { totalOf } from "./http.ts";
import { occurrenceFaults, type RunRecord } from "./occurrences.ts";
import type { World } from "./world.ts";

/** What a scenario expects beyond the verdict that is the same for all. */
export interface Expectations {
  /** Dead letters, by queue (without the prefix); everything else must be empty. */
  readonly dead?: Readonly<Record<string, number>>;
  /** Runs that stand where they are, with this reason, when all else has settled. */
  readonly held?: string;
  /** Updates that come after the end of their run, or for an attempt that is over, change nothing and are no loss. */
  readonly late?: boolean;
  /** Runs that are not of a schedule under test (manual triggers). */
  readonly others?: boolean;
  /** Longest time from the instant to the first delivery, s. */
  readonly delay?: number;
  /** How the run of an occurrence may end; default: completed. */
  readonly ends?: readonly string[];
}

export interface Verdict {
  readonly due: number;
  readonly delivered: number;
  readonly duplicates: number;
  readonly lost: number;
  readonly longest_delay_s: number;
  readonly faults: readonly string[];
}

const DEFAULT_DELAY_S = 45;

const RUNS = `
  SELECT r.id, s.name AS schedule, r.parent_run_id, r.target, r.status, r.status_reason, r.attempt, r.trigger_type,
    r.child_total, r.result, r.metrics, (extract(epoch FROM r.scheduled_for) * 1000)::float8 AS scheduled_for
  FROM runs r LEFT JOIN schedules s ON s.id = r.schedule_id`;

/** Compares what was due, what is in the database and what the consumers were told; while the world still runs. */
export async function judge(world: World, expectations: Expectations): Promise<Verdict> {
  const runs = await world.rows<RunRecord>(RUNS);
  const deliveries = world.consumers.flatMap((consumer) => consumer.deliveries);
  const occurrences = occurrenceFaults(world.expected, runs, expectations.others ?? false);
  const faults = [...occurrences.faults];

  // Every run reached its consumer, or says why not.
  const reached = new Map<string, number>();
  const events = new Set<string>();
  for (const { id, message_id, data, at } of deliveries) {
    events.add(id);
    if (!reached.has(data.run_id)) reached.set(data.run_id, at);
    if (id !== `${data.run_id}:${data.attempt}` || message_id !== id) faults.push(`event ${id} has another id`);
  }
  const unreached = runs.filter((run) => mustReach(run, expectations) && !reached.has(run.id));
  for (const run of unreached) faults.push(`run ${run.id} (${run.schedule}, ${run.status}) reached no consumer`);
  const ends = expectations.ends ?? ["completed"];
  for (const run of runs) {
    const settled = ends.includes(run.status) || run.status === "skipped" || isHeld(run, expectations);
    if (!settled) faults.push(`run ${run.id} (${run.schedule}) is ${run.status}: ${run.status_reason}`);
  }
  faults.push(...(await reportFaults(world, expectations)), ...(await leftovers(world)));

  const delayOf = ({ data }: DeliveryRecord) => (reached.get(data.run_id)! - Date.parse(data.scheduled_for)) / 1_000;
  const latest = deliveries.reduce<DeliveryRecord | null>(
    (worst, each) => (worst === null || delayOf(each) > delayOf(worst) ? each : worst),
    null,
  );
  const longest = latest === null ? 0 : Math.max(0, delayOf(latest));
  const allowed = expectations.delay ?? DEFAULT_DELAY_S;
  if (longest > allowed) {
    const { id, data } = latest!;
    const which = `${id} of ${data.schedule_name}, due at ${data.scheduled_for}`;
    faults.push(`a trigger came ${longest.toFixed(1)} s after its instant (${allowed} s allowed): ${which}`);
  }
  return {
    due: occurrences.due,
    delivered: reached.size,
    duplicates: deliveries.length - events.size,
    lost: unreached.length + occurrences.missing.length,
    longest_delay_s: longest,
    faults,
  };
}

function mustReach(run: RunRecord, expectations: Expectations): boolean {
  return (
    run.child_total === null && run.status !== "skipped" && run.status !== "cancelled" && !isHeld(run, expectations)
  );
}

function isHeld(run: RunRecord, { held }: Expectations): boolean {
  return held !== undefined && run.status_reason === held;
}

/** Status updates that a consumer got confirmed and that are not in the database (yet), in words. */
export async function reportFaults(world: World, { late }: Expectations): Promise<string[]> {
  const confirmed = world.consumers.flatMap((consumer) => consumer.reports).filter((report) => report.confirmed);
  if (late) {
    // All that there is to see of an update that came too late.
    const taken = await totalOf(world, "pocketwatch_status_updates_total");
    return confirmed.length <= taken ? [] : [`${confirmed.length} status updates were confirmed, ${taken} were taken`];
  }
  const runs = await world.rows<RunRecord>(RUNS);
  const archived = await world.rows<Archived>("SELECT run_id, attempt, status, metrics FROM run_attempts");
  const attempts = new Map<string, { status: string; metrics: Record<string, number> | null }>();
  for (const run of runs) attempts.set(`${run.id}:${run.attempt}`, run);
  for (const row of archived) attempts.set(`${row.run_id}:${row.attempt}`, row);
  const isEnd = ({ status }: ReportRecord) => ["completed", "failed", "cancelled", "skipped"].includes(status);
  return confirmed.flatMap((report) => {
    const { run_id, attempt, status, mark } = report;
    const row = attempts.get(`${run_id}:${attempt}`);
    if (row === undefined) return [`${status} of ${run_id}:${attempt} was confirmed, its attempt is unknown`];
    if (row.metrics?.[mark] !== undefined && (!isEnd(report) || row.status === status)) return [];
    return [`${status} (${mark}) of ${run_id}:${attempt} was confirmed and is not in the database`];
  });
}

interface Archived {
  readonly run_id: string;
  readonly attempt: number;
  readonly status: string;
  readonly metrics: Record<string, number> | null;
}

async function leftovers(world: World): Promise<string[]> {
  const [left] = await world.rows<Record<string, number>>(`
    SELECT (SELECT count(*)::int FROM leases) AS leases, (SELECT count(*)::int FROM outbox) AS outbox,
      (SELECT count(*)::int FROM schedules WHERE problem IS NOT NULL) AS "schedules with a problem",
      (SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
         AND state_change < clock_timestamp() - interval '2 seconds') AS "sessions idle in a transaction"`);
  const faults = Object.entries(left!).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what} left`]));
  for (const { name, crash } of world.instances) if (crash !== null) faults.push(`instance ${name} crashed: ${crash}`);
  return faults;
}

/** Once nobody consumes any more: what is still in the queues. The service's echoes to itself do not count. */
export async function queueFaults(world: World, { dead = {} }: Expectations): Promise<string[]> {
  const connection = await connect(world.servers.amqpUrl);
  const channel = await connection.createChannel();
  channel.on("error", () => {}); // told to whoever waits for the reply
  const faults: string[] = [];
  for (const { name } of world.topology.queues) {
    let count = 0;
    let first = "";
    for (let message = await channel.get(name); message !== false; message = await channel.get(name)) {
      channel.ack(message);
      if (message.fields.routingKey === "echo.v1") continue;
      count += 1;
      first ||= `${message.fields.routingKey}: ${message.content.toString().slice(0, 300)}`;
    }
    const expected = dead[name.slice(world.prefix.length + 1)] ?? 0;
    if (count !== expected) faults.push(`queue ${name} holds ${count} messages, expected ${expected}; first: ${first}`);
  }
  await connection.close();
  return faults;
}
