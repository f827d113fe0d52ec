import type { Statement, Tx } from "./connection.ts";
import type { OutboxMessage } from "./outbox.ts";

/** How a top-level run of a schedule ended, in the order of the ends. */
export interface ScheduleOutcome {
  readonly schedule_id: string;
  readonly status: string;
}

interface Counted {
  readonly id: string;
  readonly name: string;
  readonly consecutive_failures: number;
  readonly pause: boolean;
}

// A success clears the count, a failure adds to it; cancelled and skipped runs say nothing about the work. The caller
// holds the locks of the schedules whose count can change (lockSchedulesOfOutcomes), but for one case: a schedule that
// failed for the first time between that look and now. It is not waited for, because schedules are locked before runs:
// the success then counts as the earlier of the two.
const COUNT: Statement = {
  name: "count_outcomes",
  text: `
    UPDATE schedules s SET
      consecutive_failures = u.failures + CASE WHEN u.cleared THEN 0 ELSE s.consecutive_failures END
    FROM (
      SELECT u.* FROM unnest($1::uuid[], $2::boolean[], $3::int[]) AS u (id, cleared, failures)
      JOIN schedules o ON o.id = u.id
      WHERE u.failures > 0 OR o.consecutive_failures > 0
      FOR NO KEY UPDATE OF o SKIP LOCKED) AS u
    WHERE s.id = u.id
    RETURNING s.id, s.name, s.consecutive_failures,
      s.consecutive_failures >= s.pause_after_failures
        AND (s.paused_until IS NULL OR s.paused_until <= pocketwatch_now()) AS pause`,
};
const PAUSE: Statement = {
  name: "pause_after_failures",
  text: `
    UPDATE schedules SET paused_until = 'infinity',
      pause_note = 'paused after ' || consecutive_failures || ' failures in a row'
    WHERE id = ANY($1::uuid[])
    RETURNING id, name, pause_note, consecutive_failures`,
};

/** Counts failures in a row per schedule and pauses those that reach their limit; answers what is to be told. */
export async function countOutcomes(tx: Tx, outcomes: readonly ScheduleOutcome[]): Promise<OutboxMessage[]> {
  const tallies = new Map<string, { cleared: boolean; failures: number }>();
  for (const { schedule_id, status } of outcomes) {
    const tally = tallies.get(schedule_id) ?? { cleared: false, failures: 0 };
    if (status === "completed") tallies.set(schedule_id, { cleared: true, failures: 0 });
    else if (status === "failed") tallies.set(schedule_id, { ...tally, failures: tally.failures + 1 });
  }
  if (tallies.size === 0) return [];
  const ids = [...tallies.keys()].sort();
  const counted = await tx.query<Counted>(COUNT, [
    ids,
    ids.map((id) => tallies.get(id)!.cleared),
    ids.map((id) => tallies.get(id)!.failures),
  ]);
  const toPause = counted.filter((schedule) => schedule.pause).map((schedule) => schedule.id);
  if (toPause.length === 0) return [];
  const paused = await tx.query<Counted & { pause_note: string }>(PAUSE, [toPause]);
  return paused.map((schedule) => ({
    exchange: "events",
    type: "schedule.paused.v1",
    subject: `schedules/${schedule.id}`,
    data: {
      schedule_id: schedule.id,
      schedule_name: schedule.name,
      reason: "failures",
      paused_until: null,
      note: schedule.pause_note,
      consecutive_failures: schedule.consecutive_failures,
    },
  }));
}
