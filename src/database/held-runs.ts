import type { Statement, Tx } from "./connection.ts";

/** Runs of one breaker released by one statement at most. */
const RUNS_PER_KEY = 200;

// A held run kept its place in its schedule's line (decideRelease), so the place is free; should it not be, the run waits
// for it like any other. Runs that somebody has locked are left for the next time: breakers are locked after runs
// everywhere, so whoever holds a breaker must not wait for one.
const RELEASE: Statement = {
  name: "release_held",
  text: `
    UPDATE runs r SET
      status = CASE WHEN h.goes THEN 'pending' ELSE 'waiting' END,
      status_reason = CASE WHEN NOT h.goes THEN 'buffered' END,
      available_at = CASE WHEN h.goes THEN greatest(r.available_at, pocketwatch_now()) ELSE r.available_at END,
      deadline_at = CASE WHEN h.goes THEN greatest(r.available_at, pocketwatch_now())
        + make_interval(secs => (r.policy->>'start_deadline_seconds')::int) ELSE r.deadline_at END
    FROM (
      SELECT w.id, NOT w.exclusive OR w.schedule_id IS NULL OR (
          row_number() OVER (PARTITION BY w.exclusive, w.schedule_id ORDER BY w.id) = 1
          AND NOT EXISTS (SELECT FROM runs o WHERE o.schedule_id = w.schedule_id AND o.exclusive
                          AND o.parent_run_id IS NULL AND o.status IN ('pending', 'dispatched', 'running'))) AS goes
      FROM unnest($1::text[]) AS k (key), LATERAL (
        SELECT c.id, c.schedule_id, c.exclusive FROM runs c
        WHERE c.breaker_key = k.key AND c.status = 'waiting' AND c.status_reason = 'breaker_open'
          AND c.cancel_requested_at IS NULL
        ORDER BY c.id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) AS w
    ) AS h
    WHERE r.id = h.id
    RETURNING r.id, r.breaker_key, r.status`,
};

interface Released {
  readonly id: string;
  readonly breaker_key: string;
  readonly status: "pending" | "waiting";
}

/** Lets the oldest runs go that these breakers hold. */
export function releaseHeld(tx: Tx, keys: readonly string[], limit = RUNS_PER_KEY): Promise<Released[]> {
  return tx.query<Released>(RELEASE, [keys, limit]);
}

// The distinct keys are walked one index probe at a time: a million runs held by one breaker are one step.
const RELEASABLE: Statement = {
  name: "releasable_breakers",
  text: `
    WITH RECURSIVE held (key) AS (
      (SELECT breaker_key FROM runs WHERE status = 'waiting' AND status_reason = 'breaker_open'
       ORDER BY breaker_key LIMIT 1)
      UNION ALL
      SELECT (SELECT r.breaker_key FROM runs r
              WHERE r.status = 'waiting' AND r.status_reason = 'breaker_open' AND r.breaker_key > held.key
              ORDER BY r.breaker_key LIMIT 1)
      FROM held WHERE held.key IS NOT NULL
    )
    SELECT held.key FROM held LEFT JOIN breakers b ON b.key = held.key
    WHERE held.key IS NOT NULL AND coalesce(b.state, 'closed') = 'closed' LIMIT $1`,
};

/** Keys of breakers that hold runs although they are closed or gone: somebody reset them, or a release was lost. */
export async function releasableBreakers(tx: Tx, limit: number): Promise<string[]> {
  const rows = await tx.query<{ key: string }>(RELEASABLE, [limit]);
  return rows.map((row) => row.key);
}

// Open and cooled down; or half open without a probe under way, while runs are held or the probe that was is over.
// ORDER BY: see dispatch.ts.
const LOCK_DUE: Statement = {
  name: "lock_due_breakers",
  text: `
    SELECT b.key FROM breakers b
    WHERE b.state <> 'closed' AND CASE
      WHEN b.state = 'open' THEN b.opened_at + b.cooldown_seconds * interval '1 second' <= pocketwatch_now()
      WHEN b.probe_run_id IS NULL THEN (
        SELECT true FROM runs r WHERE r.breaker_key = b.key AND r.status = 'waiting' AND r.status_reason = 'breaker_open'
        ORDER BY r.breaker_key, r.id LIMIT 1)
      ELSE NOT EXISTS (
        SELECT FROM runs p WHERE p.id = b.probe_run_id AND p.status IN ('pending', 'dispatched', 'running')) END
    ORDER BY b.key LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED`,
};
const HALF_OPEN: Statement = {
  name: "half_open_breakers",
  text: `
    UPDATE breakers b SET state = 'half_open', probe_run_id = u.probe, updated_at = pocketwatch_now()
    FROM unnest($1::text[], $2::uuid[]) AS u (key, probe) WHERE b.key = u.key`,
};

/**
 * Half opens breakers whose cooldown is over, and lets the oldest run of each go as its probe; with none held, the next
 * run to be dispatched will be the probe. Answers how many breakers, and whether a run was released.
 */
export async function admitProbes(tx: Tx, limit: number): Promise<{ breakers: number; released: boolean }> {
  const due = await tx.query<{ key: string }>(LOCK_DUE, [limit]);
  if (due.length === 0) return { breakers: 0, released: false };
  const keys = due.map((breaker) => breaker.key);
  const released = (await releaseHeld(tx, keys, 1)).filter((run) => run.status === "pending");
  const probes = new Map(released.map((run) => [run.breaker_key, run.id]));
  await tx.query(HALF_OPEN, [keys, keys.map((key) => probes.get(key) ?? null)]);
  return { breakers: keys.length, released: released.length > 0 };
}
