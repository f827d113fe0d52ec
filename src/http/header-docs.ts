import type { Parameter } from "./openapi.ts";

/** A header of an answer, as OpenAPI describes it. */
export interface Header {
  readonly description: string;
  /** Whether every such answer has it. */
  readonly required?: boolean;
  readonly schema: { readonly type: string };
}

const KEYED = ["postSchedulesByIdTrigger", "postRuns", "postHooksByPath"];
const REVISED = [
  ...["patchSchedulesById", "putSchedulesById", "deleteSchedulesById"],
  ...["postSchedulesByIdPause", "postSchedulesByIdResume", "postSchedulesByIdSkipNext"],
];

/** What may be sent with a request. */
export function requestHeaders(operationId: string): Parameter[] {
  const header = (name: string, description: string) => ({
    name,
    in: "header",
    required: false,
    description,
    schema: { type: "string" },
  });
  return [
    ...(KEYED.includes(operationId)
      ? [header("Idempotency-Key", "The same key gives the same run; kept for 24 hours")]
      : []),
    ...(operationId === "getEvents"
      ? [header("Last-Event-ID", "The id of the last event that arrived, to go on from there")]
      : []),
    ...(REVISED.includes(operationId) ? [header("If-Match", "The ETag of the answer this is based on")] : []),
    ...(operationId === "putSchedulesById"
      ? [header("If-None-Match", "`*`: create it, and change nothing where it is there already")]
      : []),
  ];
}

const text = { schema: { type: "string" } } as const;
const ETAG: Header = { description: "Its revision, for `If-Match`", required: true, ...text };
const LOCATION: Header = { description: "Where it is from now on", required: true, ...text };
const REPLAYED: Header = { description: "`true`: the run is that of an earlier request with this key", ...text };

/**
 * What an answer carries beside its body: the revision of a schedule, the address of what was made.
 * @param shown what its body is, where that is one thing with a name
 */
export function answerHeaders(operationId: string, status: string, shown: unknown): Readonly<Record<string, Header>> {
  return {
    ...(shown === "#/components/schemas/Schedule" ? { ETag: ETAG } : {}),
    ...(status === "201" && shown !== undefined ? { Location: LOCATION } : {}),
    ...(status === "201" && KEYED.includes(operationId) ? { "Idempotent-Replayed": REPLAYED } : {}),
  };
}

export const PROBLEM_HEADERS: Readonly<Record<string, Header>> = {
  "Retry-After": { description: "With 429 and 503: after how many seconds to try again", schema: { type: "integer" } },
  "WWW-Authenticate": { description: "With 401, and with 403 where another scope is needed: what is wanted", ...text },
};
