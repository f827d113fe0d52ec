import type { Instant } from "../schedule/instant.ts";
import type { PartialPolicy, Priority } from "../schedule/policy.ts";
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
  ): Promise<readonly ScheduleRecord[]>;
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
    revision: number | null,
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

export interface RunsApi {
  runAction(request: ActionRequest, key: RequestKey | null, actor: string): Promise<TriggeredRun>;
  listRuns(
    filter: RunFilter,
    page: { readonly before: string | null; readonly limit: number },
  ): Promise<readonly RunRecord[]>;
  /** With the attempts that another one followed. */
  getRun(id: string): Promise<{ readonly run: RunRecord; readonly attempts: readonly AttemptRecord[] }>;
}

export interface Api extends SchedulesApi, RunsApi {}
