import type { Statement, Tx } from "./connection.ts";

export interface ParentToExpand {
  readonly id: string;
  readonly scheduled_for: number;
  readonly action: string;
  readonly payload: unknown;
  readonly breaker: string | null;
  readonly child_total: number;
  readonly child_expanded: number;
  /** The next targets. */
  readonly targets: readonly string[];
}

const CLAIM: Statement = {
  name: "claim_parent",
  text: `
    SELECT r.id, r.scheduled_for, r.action, r.payload, r.policy->>'breaker' AS breaker, r.child_total, r.child_expanded,
      r.targets[r.child_expanded + 1 : r.child_expanded + $1] AS targets
    FROM runs r
    WHERE r.status IN ('pending', 'running') AND r.child_expanded < r.child_total AND r.cancel_requested_at IS NULL
      AND (r.status = 'running' OR r.available_at <= pocketwatch_now())
    ORDER BY r.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED`,
};

/** Takes the oldest parent with targets left that nobody wants cancelled, and the next chunk of its targets. */
export async function claimParent(tx: Tx, chunk: number): Promise<ParentToExpand | undefined> {
  const [parent] = await tx.query<ParentToExpand>(CLAIM, [chunk]);
  return parent;
}

// Children inherit from their parent's row; only id, target and breaker are their own. The chunk and the mark of how far
// it got commit together, so that a crash repeats nothing and leaves nothing out.
const EXPAND: Statement = {
  name: "expand_parent",
  text: `
    WITH children AS (
      INSERT INTO runs (id, schedule_id, schedule_name, parent_run_id, target, action, action_version, payload, trigger_type,
        triggered_by, scheduled_for, priority, pool, policy, exclusive, status, available_at, deadline_at, created_at,
        breaker_key, traceparent)
      SELECT c.id, p.schedule_id, p.schedule_name, p.id, c.target, p.action, p.action_version, p.payload, p.trigger_type,
        p.triggered_by, p.scheduled_for, p.priority, p.pool, p.policy, false, 'pending', pocketwatch_now(),
        pocketwatch_now() + make_interval(secs => (p.policy->>'start_deadline_seconds')::int), pocketwatch_now(),
        c.breaker_key, p.traceparent
      FROM runs p, unnest($2::uuid[], $3::text[], $4::text[]) AS c (id, target, breaker_key)
      WHERE p.id = $1
      ON CONFLICT (id) DO NOTHING
    )
    UPDATE runs SET child_expanded = child_expanded + $5, status = 'running', status_reason = NULL, deadline_at = NULL,
      started_at = coalesce(started_at, pocketwatch_now())
    WHERE id = $1`,
};

export async function expandChunk(
  tx: Tx,
  parentId: string,
  children: readonly { readonly id: string; readonly target: string; readonly breaker_key: string | null }[],
): Promise<void> {
  await tx.query(EXPAND, [
    parentId,
    children.map((child) => child.id),
    children.map((child) => child.target),
    children.map((child) => child.breaker_key),
    children.length,
  ]);
}

const STOP: Statement = {
  name: "stop_expansion",
  text: "UPDATE runs SET child_total = child_expanded WHERE id = ANY($1::uuid[])",
};

/** Locked parents that are being cancelled get no more children: those they have are all they will have. */
export async function stopExpansion(tx: Tx, parentIds: readonly string[]): Promise<void> {
  await tx.query(STOP, [parentIds]);
}

const RESTORE: Statement = {
  name: "restore_targets",
  text: "UPDATE runs SET child_total = cardinality(targets) WHERE id = $1 AND child_total < cardinality(targets)",
};

/** A locked parent that is started anew gets the children that a cancel had kept from being made. */
export async function restoreTargets(tx: Tx, parentId: string): Promise<void> {
  await tx.query(RESTORE, [parentId]);
}

const NEXT: Statement = {
  name: "next_expansion",
  text: `
    SELECT extract(epoch FROM min(available_at) - pocketwatch_now())::double precision * 1000 AS next_in_ms
    FROM runs
    WHERE status IN ('pending', 'running') AND child_expanded < child_total AND cancel_requested_at IS NULL`,
};

/** Milliseconds until a parent that is jittered or in backoff may be expanded; null: none is. */
export async function nextExpansionIn(tx: Tx): Promise<number | null> {
  const [row] = await tx.query<{ next_in_ms: number | null }>(NEXT);
  return row!.next_in_ms;
}
