import {
  type Breaker,
  type BreakerOutcome,
  closed,
  countOutcome,
  decideHolds,
  outcomeOf,
} from "../schedule/breaker.ts";
import { toPostgresOrNull } from "../schedule/instant.ts";
import { hasEnded, type RunState } from "../schedule/run-transitions.ts";
import type { Statement, Tx } from "./connection.ts";
import type { LockedRun } from "./run-states.ts";

/*
 * Circuit breakers. Their rows are locked last, after every run, in key order. A run without a breaker key never comes
 * here, so that it pays nothing.
 */

const COLUMNS = "key, state, failures, threshold, cooldown_seconds, trips, opened_at, probe_run_id";

const ENSURE: Statement = {
  name: "ensure_breakers",
  text: `
    INSERT INTO breakers (key, action, threshold, cooldown_seconds)
    SELECT b.key, b.action, b.threshold, b.cooldown_seconds
    FROM jsonb_to_recordset($1::jsonb) AS b (key text, action text, threshold int, cooldown_seconds int)
    ORDER BY b.key
    ON CONFLICT (key) DO NOTHING`,
};
// A breaker that is closed and clean stays as it is after anything but a failure.
const LOCK: Statement = {
  name: "lock_breakers",
  text: `
    SELECT ${COLUMNS} FROM breakers
    WHERE key = ANY($1::text[]) AND (state <> 'closed' OR failures > 0 OR key = ANY($2::text[]))
    ORDER BY key FOR NO KEY UPDATE`,
};
const WRITE: Statement = {
  name: "write_breakers",
  text: `
    UPDATE breakers b SET state = u.state, failures = u.failures, threshold = u.threshold,
      cooldown_seconds = u.cooldown_seconds, trips = u.trips, opened_at = u.opened_at, probe_run_id = u.probe_run_id,
      updated_at = pocketwatch_now()
    FROM jsonb_to_recordset($1::jsonb) AS u (key text, state text, failures int, threshold int, cooldown_seconds int,
      trips int, opened_at timestamptz, probe_run_id uuid)
    WHERE b.key = u.key`,
};

/** What the caller does after its commit. */
export interface BreakerNews {
  /** Keys of breakers that closed: what they held may go. */
  readonly closed: readonly string[];
  /** Some breaker opened: its cooldown has to be waited for. */
  readonly opened: boolean;
}

const NO_NEWS: BreakerNews = { closed: [], opened: false };

interface Ended {
  readonly run: LockedRun;
  readonly outcome: BreakerOutcome["outcome"];
}

/** Counts the attempts that ended with these changes in the breakers of their runs. */
export async function countBreakers(
  tx: Tx,
  changes: readonly { readonly before: LockedRun; readonly after: LockedRun; readonly archived: readonly RunState[] }[],
): Promise<BreakerNews> {
  const ends = changes.flatMap(attemptEnds);
  const [first] = ends;
  if (first === undefined) return NO_NEWS;
  const { now } = first.run;
  const policies = new Map(ends.map(({ run }) => [run.breaker_key!, run]));
  const failed = new Set(ends.filter(({ outcome }) => outcome === "failure").map(({ run }) => run.breaker_key!));
  if (failed.size > 0) await tx.query(ENSURE, [JSON.stringify([...failed].map((key) => toRow(policies.get(key)!)))]);
  const rows = await tx.query<Breaker>(LOCK, [[...policies.keys()], [...failed]]);

  const news = { closed: [] as string[], opened: false };
  const written = rows.map((row) => {
    let breaker: Breaker = { ...row, ...toRow(policies.get(row.key)!) };
    for (const { run, outcome } of ends) {
      if (run.breaker_key === row.key) breaker = countOutcome(breaker, { run_id: run.id, outcome }, now);
    }
    if (row.state !== "closed" && breaker.state === "closed") news.closed.push(row.key);
    if (row.state !== "open" && breaker.state === "open") news.opened = true;
    return breaker;
  });
  await write(tx, written);
  return news;
}

function attemptEnds({
  before,
  after,
  archived,
}: {
  readonly before: LockedRun;
  readonly after: LockedRun;
  readonly archived: readonly RunState[];
}): Ended[] {
  const guarded = after.breaker_key !== null && after.child_total === null;
  if (!guarded || after.policy.breaker_threshold === undefined) return [];
  const attempts: RunState[] = [...archived];
  if (hasEnded(after.status) && !hasEnded(before.status)) attempts.push(after);
  return attempts.flatMap((attempt) => {
    const outcome = outcomeOf(attempt);
    return outcome === null ? [] : [{ run: after, outcome }];
  });
}

function toRow({ breaker_key, action, policy }: LockedRun) {
  const { breaker_threshold, breaker_cooldown_seconds } = policy;
  return {
    key: breaker_key!,
    action,
    threshold: breaker_threshold!,
    cooldown_seconds: breaker_cooldown_seconds ?? 60,
  };
}

async function write(tx: Tx, breakers: readonly Breaker[]): Promise<void> {
  if (breakers.length === 0) return;
  const rows = breakers.map((breaker) => ({
    ...breaker,
    opened_at: toPostgresOrNull(breaker.opened_at),
  }));
  await tx.query(WRITE, [JSON.stringify(rows)]);
}

const NOT_CLOSED: Statement = {
  name: "lock_open_breakers",
  text: `
    SELECT ${COLUMNS} FROM breakers WHERE key = ANY($1::text[]) AND state <> 'closed' ORDER BY key FOR NO KEY UPDATE`,
};
const HOLD: Statement = {
  name: "hold_behind_breakers",
  text: `
    UPDATE runs SET status = 'waiting', status_reason = 'breaker_open', dispatched_at = NULL
    WHERE id = ANY($1::uuid[])`,
};

/**
 * Takes back, of runs just claimed in this transaction, those whose breaker is not closed: they wait. One of each half
 * open breaker goes, as its probe. The breakers stay locked until the commit, so that whoever closes one meanwhile
 * releases what is held here after it.
 */
export async function holdBehindBreakers(
  tx: Tx,
  claimed: readonly { readonly id: string; readonly breaker_key: string | null }[],
): Promise<ReadonlySet<string>> {
  const keys = [...new Set(claimed.flatMap((run) => run.breaker_key ?? []))];
  if (keys.length === 0) return new Set();
  const breakers = await tx.query<Breaker>(NOT_CLOSED, [keys]);
  const { held, probes } = decideHolds(claimed, breakers);
  if (held.length > 0) await tx.query(HOLD, [held]);
  const probing = breakers.filter((breaker) => probes.has(breaker.key));
  await write(
    tx,
    probing.map((breaker) => ({ ...breaker, probe_run_id: probes.get(breaker.key)! })),
  );
  return new Set(held);
}

const LOCK_ONE: Statement = {
  name: "lock_breaker",
  text: `SELECT ${COLUMNS} FROM breakers WHERE key = $1 FOR NO KEY UPDATE`,
};

/**
 * Closes a breaker by hand; answers it, or undefined where there is none. What it held is released by supervise, which
 * the caller wakes after its commit.
 */
export async function resetBreaker(tx: Tx, key: string): Promise<Breaker | undefined> {
  const [breaker] = await tx.query<Breaker>(LOCK_ONE, [key]);
  if (breaker === undefined) return undefined;
  const reset = closed(breaker);
  await write(tx, [reset]);
  return reset;
}
