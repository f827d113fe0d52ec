import type { Tx } from "../database/connection.ts";
import type { RequestKey } from "../database/requests.ts";
import { triggerPatterns, viewSchedule } from "../database/schedule-queries.ts";
import { insertScheduleRun } from "../database/schedule-runs.ts";
import type { RunRow } from "../database/schema.ts";
import { databaseNow } from "../database/supervision.ts";
import type { Deps } from "../deps.ts";
import { Conflict, InvalidInput, NotFound } from "../schedule/errors.ts";
import { matchesChannel, matchesPath } from "../schedule/signal-pattern.ts";
import { once } from "./once.ts";
import { followRun } from "./trigger-schedule.ts";
import { lockUsableSchedule, type UsableSchedule } from "./usable-schedule.ts";

/** Something that happened outside. */
export interface Signal {
  readonly kind: "webhook" | "channel";
  /** The path behind `/v1/hooks/`, or the channel's name. */
  readonly name: string;
  /** What it brought; undefined: nothing. */
  readonly body: unknown;
  readonly traceparent?: string | null | undefined;
}

export interface Fired {
  readonly schedule_id: string;
  readonly schedule_name: string;
  readonly run_id: string | null;
  readonly status: string | null;
  /** Why it did not fire. */
  readonly problem: string | null;
}

/**
 * Fires the schedules whose pattern matches a signal, each in a transaction of its own. While a schedule is paused,
 * disabled, finished or outside its bounds, nothing fires it.
 * @param key the same signal again gives the same runs
 * @throws NotFound where no schedule waits for such a signal
 */
export async function fireTriggers(
  deps: Deps,
  signal: Signal,
  key: RequestKey | null,
  actor: string,
): Promise<Fired[]> {
  const matches = signal.kind === "webhook" ? matchesPath : matchesChannel;
  const patterns = await deps.database.transaction((tx) => triggerPatterns(tx, signal.kind));
  const matching = patterns.filter(({ pattern }) => matches(pattern, signal.name));
  if (matching.length === 0) {
    deps.metrics.signals.inc({ kind: signal.kind, outcome: "unmatched" });
    throw new NotFound(`no schedule waits for the ${signal.kind} ${JSON.stringify(signal.name)}`);
  }
  const fired: Fired[] = [];
  for (const { id, name } of matching) {
    const own = key === null ? null : { source: key.source, key: `${key.key}:${id}` };
    const asked = { schedule_name: name, request: { [signal.kind]: signal.name, body: signal.body ?? null } };
    try {
      const { run, repeated } = await deps.database.transaction(
        (tx) => once(tx, own, asked, actor, () => fire(deps, tx, id, signal, actor)),
        { actor },
      );
      if (!repeated) followRun(deps, run);
      deps.metrics.signals.inc({ kind: signal.kind, outcome: repeated ? "repeated" : "fired" });
      fired.push({ schedule_id: id, schedule_name: name, run_id: run.id, status: run.status, problem: null });
    } catch (error) {
      if (!isAboutOne(error)) throw error;
      deps.metrics.signals.inc({ kind: signal.kind, outcome: "refused" });
      fired.push({ schedule_id: id, schedule_name: name, run_id: null, status: null, problem: error.message });
    }
  }
  return fired;
}

/** What is said of one schedule does not stop the others. */
function isAboutOne(error: unknown): error is Error {
  return error instanceof Conflict || error instanceof NotFound || error instanceof InvalidInput;
}

async function fire(deps: Deps, tx: Tx, id: string, signal: Signal, actor: string): Promise<RunRow> {
  const schedule = await lockUsableSchedule(deps, tx, id);
  const { state } = (await viewSchedule(tx, id))!;
  if (state !== "active") throw new Conflict(`the schedule is ${state}`, { state });
  const now = await databaseNow(tx);
  if (now < (schedule.starts_at ?? now) || now > (schedule.ends_at ?? now)) {
    throw new Conflict("it is not between starts_at and ends_at", { state });
  }
  const run = await insertScheduleRun(tx, id, {
    trigger_type: "event",
    triggered_by: actor,
    payload: payloadWith(deps, schedule, signal.body),
    traceparent: signal.traceparent ?? null,
  });
  return run!;
}

// What the signal brought goes to the consumer only where its contract has a place for it.
function payloadWith(deps: Deps, schedule: UsableSchedule, body: unknown): unknown {
  const { payload } = schedule;
  if (body === undefined || typeof payload !== "object" || payload === null || Array.isArray(payload)) return undefined;
  const extended = { ...payload, event: body };
  const errors = deps.actions().find(schedule.action, schedule.action_version)?.validatePayload(extended) ?? [];
  return errors.length === 0 ? extended : undefined;
}
