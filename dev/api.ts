/** The few requests that `npm start` makes of the service, as any other client would. */
export interface Api {
  isReady(): Promise<boolean>;
  /** True if it is new, false if a schedule of that name exists already. */
  addSchedule(schedule: object): Promise<boolean>;
  trigger(schedule: string): Promise<void>;
  /** The latest runs, newest first. */
  runs(): Promise<Run[]>;
}

/** The columns of `runs` that are shown. */
export interface Run {
  readonly id: string;
  readonly schedule_name: string | null;
  readonly action: string;
  readonly status: string;
  readonly status_reason: string | null;
  readonly error_message: string | null;
  readonly attempt: number;
  readonly progress: number | null;
  readonly progress_message: string | null;
  readonly metrics: Readonly<Record<string, number>> | null;
}

export function apiAt(base: string): Api {
  const request = (path: string, body?: object) =>
    fetch(`${base}${path}`, {
      signal: AbortSignal.timeout(5_000),
      ...(body === undefined
        ? {}
        : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
  const refused = async (what: string, response: Response) =>
    new Error(`${what} was answered with ${response.status}: ${await response.text()}`);

  return {
    isReady: () =>
      request("/readyz").then(
        (response) => response.ok,
        () => false,
      ),
    async addSchedule(schedule) {
      const response = await request("/v1/schedules", schedule);
      if (!response.ok && response.status !== 409) throw await refused("POST /v1/schedules", response);
      return response.ok;
    },
    async trigger(schedule) {
      const path = `/v1/schedules/${encodeURIComponent(schedule)}/trigger`;
      const response = await request(path, {});
      if (!response.ok) throw await refused(`POST ${path}`, response);
    },
    async runs() {
      const response = await request("/v1/runs?limit=50");
      if (!response.ok) throw await refused("GET /v1/runs", response);
      return ((await response.json()) as { items: Run[] }).items;
    },
  };
}
