import type { Instant } from "../schedule/instant.ts";
import type { PartialPolicy, Policy, Priority } from "../schedule/policy.ts";
import type { Found } from "./paging.ts";
import type { AttemptRecord, RunRecord } from "./run-answer.ts";
import type { ScheduleRecord } from "./schedule-answer.ts";
import type { ScheduleInput } from "./schedule-body.ts";

/*
 * What the HTTP server asks of the service. app.ts binds it to commands and queries; nothing here knows how they work.
 * Everything rejects with the errors of schedule/errors.ts, which say what is told to the client.
 */

/** Who asks, and under which name they ask only once. */
export interface RequestKey {
  readonly source: string;
  readonly key: string;
}

export interface TriggeredRun {
  readonly run: RunRecord;
  /** An earlier request under the same key made it. */
  readonly repeated: boolean;
}

export interface ScheduleFilter {
  readonly state?: readonly ScheduleRecord["state"][] | undefined;
  readonly kind?: readonly string[] | undefined;
  readonly action?: readonly string[] | undefined;
  readonly priority?: readonly number[] | undefined;
  readonly pool?: readonly string[] | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly label_names?: readonly string[] | undefined;
  readonly text?: string | undefined;
}

export interface RunFilter {
  readonly status?: readonly string[] | undefined;
  readonly status_reason?: readonly string[] | undefined;
  readonly action?: readonly string[] | undefined;
  /** Id or name. */
  readonly schedule?: string | undefined;
  readonly trigger_type?: readonly string[] | undefined;
  readonly priority?: readonly number[] | undefined;
  readonly pool?: readonly string[] | undefined;
  readonly target?: string | undefined;
  readonly children?: boolean | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly label_names?: readonly string[] | undefined;
  readonly from?: Instant | undefined;
  readonly to?: Instant | undefined;
  readonly text?: string | undefined;
}

export interface ActionRequest {
  readonly action: string;
  readonly action_version?: number | undefined;
  readonly payload: unknown;
  readonly targets?: readonly string[] | undefined;
  readonly policy: Omit<PartialPolicy, "overlap">;
  readonly traceparent?: string | null | undefined;
}

export interface TriggerRequest {
  readonly payload?: unknown;
  readonly priority?: Priority | null | undefined;
  readonly traceparent?: string | null | undefined;
}

export interface SchedulesApi {
  createSchedule(input: ScheduleInput, actor: string): Promise<ScheduleRecord>;
  createSchedules(inputs: readonly ScheduleInput[], actor: string): Promise<readonly ScheduleRecord[]>;
  listSchedules(
    filter: ScheduleFilter,
    page: { readonly after: string | null; readonly limit: number },
  ): Promise<Found<ScheduleRecord>>;
  getSchedule(idOrName: string): Promise<ScheduleRecord>;
  updateSchedule(
    idOrName: string,
    input: ScheduleInput,
    revision: number | null,
    actor: string,
  ): Promise<ScheduleRecord>;
  replaceSchedule(
    idOrName: string,
    input: ScheduleInput,
    expected: number | "absent" | null,
    actor: string,
  ): Promise<{ readonly schedule: ScheduleRecord; readonly created: boolean }>;
  deleteSchedule(idOrName: string, revision: number | null, actor: string): Promise<void>;
  triggerSchedule(
    idOrName: string,
    input: TriggerRequest,
    key: RequestKey | null,
    actor: string,
  ): Promise<TriggeredRun>;
}

/** Occurrences that a clock change touches: `gap`, for local times that do not exist; `fold`, its local time exists twice. */
export interface DstMark {
  readonly at: Instant;
  readonly effect: "gap" | "fold";
}

export interface PreviewRequest extends ScheduleInput {
  readonly schedule?: string | undefined;
  readonly name?: string | undefined;
  readonly after?: Instant | undefined;
  readonly count: number;
}

export type BulkAction =
  | { readonly kind: "pause"; readonly until: Instant | null; readonly note: string | null }
  | { readonly kind: "resume"; readonly catch_up: boolean }
  | { readonly kind: "trigger" }
  | { readonly kind: "cancel" };

export interface BulkItem {
  readonly schedule_id: string;
  readonly name: string;
  readonly run_id: string | null;
  readonly cancelling: number | null;
  readonly problem: string | null;
}

export interface ScheduleCommandsApi {
  pauseSchedule(
    idOrName: string,
    input: { readonly until: Instant | null; readonly note: string | null },
    revision: number | null,
    actor: string,
  ): Promise<ScheduleRecord>;
  resumeSchedule(
    idOrName: string,
    input: { readonly catch_up: boolean },
    revision: number | null,
    actor: string,
  ): Promise<ScheduleRecord>;
  cancelScheduleRuns(idOrName: string, actor: string): Promise<{ readonly cancelling: number }>;
  /** Answers the skipped run. */
  skipNext(idOrName: string, revision: number | null, actor: string): Promise<RunRecord>;
  backfill(
    idOrName: string,
    input: {
      readonly from: Instant;
      readonly to: Instant;
      readonly overlap?: Policy["overlap"] | undefined;
      readonly dry_run: boolean;
    },
    actor: string,
  ): Promise<{ readonly occurrences: readonly Instant[]; readonly existing: number }>;
  upcoming(
    idOrName: string,
    count: number,
  ): Promise<{ readonly occurrences: readonly Instant[]; readonly dst: readonly DstMark[] }>;
  previewSchedule(input: PreviewRequest): Promise<{
    readonly occurrences: readonly Instant[];
    readonly dst: readonly DstMark[];
    readonly change: { readonly appear: readonly Instant[]; readonly vanish: readonly Instant[] } | null;
  }>;
  bulk(
    labels: Readonly<Record<string, string>>,
    action: BulkAction,
    dryRun: boolean,
    actor: string,
  ): Promise<readonly BulkItem[]>;
}

export interface RunsApi {
  runAction(request: ActionRequest, key: RequestKey | null, actor: string): Promise<TriggeredRun>;
  listRuns(
    filter: RunFilter,
    page: { readonly before: string | null; readonly limit: number },
  ): Promise<Found<RunRecord>>;
  /** With the attempts that another one followed. */
  getRun(id: string): Promise<{ readonly run: RunRecord; readonly attempts: readonly AttemptRecord[] }>;
  cancelRun(id: string, reason: string | null, actor: string): Promise<RunRecord>;
  retryRun(id: string, options: { readonly force: boolean }, actor: string): Promise<RunRecord>;
  /** Children by id, and how many there are in each status. */
  listChildren(
    id: string,
    filter: RunFilter,
    page: { readonly before: string | null; readonly limit: number },
  ): Promise<Found<RunRecord>>;
  countChildren(id: string): Promise<{ readonly total: number; readonly by_status: Readonly<Record<string, number>> }>;
}

export interface RunChanges {
  readonly runs: readonly RunRecord[];
  /** From where on the stream can be resumed once these have been told; null: there are more of the same moment. */
  readonly place: string | null;
  /** Nothing is missing from `place` on; resumed: nor from where the client was before. */
  readonly ready: { readonly resumed: boolean } | null;
}

export interface EventsApi {
  /**
   * Runs as they are after each change, until the signal aborts; several changes at once may be told as one. Also yields now
   * and then where nothing changes.
   * @param after the place to resume from; null: now
   * @throws NotFound for the schedule of the filter
   */
  followRuns(filter: RunFilter, after: string | null, signal: AbortSignal): Promise<AsyncIterable<RunChanges>>;
}

export interface PoolRecord {
  readonly name: string;
  readonly max_in_flight: number | null;
  readonly drained: boolean;
  readonly in_flight: number;
  readonly high: number;
  readonly normal: number;
  readonly low: number;
}

export interface BreakerRecord {
  readonly key: string;
  readonly action: string;
  readonly state: "closed" | "open" | "half_open";
  readonly failures: number;
  readonly threshold: number;
  readonly cooldown_seconds: number;
  readonly trips: number;
  readonly opened_at: Instant | null;
  readonly probe_run_id: string | null;
  readonly held: number;
  readonly updated_at: Instant;
}

export interface PoolsApi {
  listPools(after: string, limit: number): Promise<readonly PoolRecord[]>;
  getPool(name: string): Promise<PoolRecord>;
  setPool(
    name: string,
    maxInFlight: number | null,
    actor: string,
  ): Promise<{ readonly pool: PoolRecord; readonly created: boolean }>;
  drainPool(name: string, drained: boolean, actor: string): Promise<PoolRecord>;
  listBreakers(after: string, limit: number, states: readonly string[] | null): Promise<readonly BreakerRecord[]>;
  resetBreaker(key: string, actor: string): Promise<BreakerRecord>;
}

export interface ActionRecord {
  readonly name: string;
  readonly version: number;
  readonly title: string | null;
  readonly description: string | null;
  readonly exchange: string;
  readonly routing_key: string;
  readonly pool: string | null;
  readonly breaker: { readonly key: string; readonly threshold: number; readonly cooldown_seconds: number } | null;
  readonly defaults: object;
  readonly schema: object;
  readonly queue: {
    readonly name: string;
    readonly type: string;
    /** null: the broker cannot be asked. */
    readonly messages: number | null;
    readonly consumers: number | null;
  };
}

/** A message that nobody could handle. */
export interface DeadLetter {
  /** Names it among those of its queue for as long as it lies there. */
  readonly id: string;
  /** The queue it was meant for. */
  readonly queue: string;
  readonly reason: string | null;
  readonly message_id: string | null;
  readonly type: string | null;
  readonly died_at: Instant | null;
  /** The body as JSON, or as text where it is none. */
  readonly body: unknown;
}

export interface MessagingApi {
  listActions(): Promise<{
    readonly actions: readonly ActionRecord[];
    readonly problems: readonly { readonly action: string; readonly message: string }[];
  }>;
  /** `queue` null: those of every queue. */
  listDeadLetters(queue: string | null, limit: number): Promise<readonly DeadLetter[]>;
  requeueDeadLetter(id: string, actor: string): Promise<DeadLetter>;
}

export interface FiredRecord {
  readonly schedule_id: string;
  readonly schedule_name: string;
  readonly run_id: string | null;
  readonly status: string | null;
  readonly problem: string | null;
}

export interface SignalsApi {
  fireWebhook(
    path: string,
    signal: { readonly body: unknown; readonly traceparent: string | null },
    key: RequestKey | null,
    actor: string,
  ): Promise<readonly FiredRecord[]>;
  /** Schedules that something outside fires, by name. */
  listTriggered(after: string, limit: number): Promise<readonly ScheduleRecord[]>;
}

export interface PassReport {
  readonly last_run_at: Instant | null;
  readonly last_duration_ms: number | null;
  readonly last_error: string | null;
  readonly runs: number;
}

export interface InstanceRecord {
  readonly id: string;
  readonly version: string;
  readonly started_at: Instant | null;
  readonly last_seen_at: Instant | null;
  readonly broker: string;
  readonly passes: Readonly<Record<string, PassReport>>;
  /** The one that answers. */
  readonly local: boolean;
  readonly alive: boolean;
}

export interface BrokerRecord {
  readonly publishing: string;
  readonly consuming: string;
  readonly topology_declared: boolean;
  readonly topology_problems: readonly object[];
}

export interface SchedulerRecord {
  readonly now: Instant;
  readonly drained: boolean;
  readonly oldest_due_at: Instant | null;
  readonly due: number;
  readonly to_plan: number;
  readonly waiting: number;
  readonly pending: number;
  readonly oldest_pending_at: Instant | null;
  readonly in_flight: number;
  readonly leases: number;
  readonly leased_runs: number;
  readonly expired_leases: number;
  readonly outbox: number;
  readonly oldest_outbox_at: Instant | null;
  readonly instances: readonly InstanceRecord[];
  /** As this instance sees it. */
  readonly broker: BrokerRecord | null;
}

export interface ReloadRecord {
  readonly instance: string;
  readonly planned: number;
  readonly problems: readonly {
    readonly action: string | null;
    readonly schedule_id: string | null;
    readonly message: string;
  }[];
}

export interface SpreadRecord {
  readonly count: number;
  readonly average: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export interface StatisticsRecord {
  readonly from: Instant;
  readonly to: Instant;
  readonly by_status: Readonly<Record<string, number>>;
  readonly by_reason: Readonly<Record<string, number>>;
  readonly duration: SpreadRecord;
  readonly lateness: SpreadRecord;
}

export interface SchedulerApi {
  schedulerStatus(): Promise<SchedulerRecord>;
  requestReload(scheduleIds: readonly string[] | null, actor: string): Promise<ReloadRecord>;
  drainScheduler(drained: boolean, actor: string): Promise<void>;
  /** `schedule` null: all. Absent bounds: the last 24 hours. */
  statistics(
    schedule: string | null,
    window: { readonly from?: Instant | undefined; readonly to?: Instant | undefined },
  ): Promise<StatisticsRecord>;
  cleanUpHistory(
    limits: { readonly days?: number | undefined; readonly runs_per_schedule?: number | undefined },
    actor: string,
  ): Promise<{ readonly deleted: number }>;
}

export interface MetricsApi {
  /** Brings figures up to date that are read from elsewhere. Never rejects. */
  measure(): Promise<void>;
}

export interface Api
  extends SchedulesApi,
    ScheduleCommandsApi,
    RunsApi,
    EventsApi,
    PoolsApi,
    MessagingApi,
    SignalsApi,
    SchedulerApi,
    MetricsApi {}
