import { runCommandLine } from "../../../src/cli/program.ts";
import type { EditedText, Surroundings } from "../../../src/cli/surroundings.ts";
import { type ClientConfig, readClientConfig } from "../../../src/config.ts";

export const NOW = Date.parse("2026-11-21T10:00:00Z");

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface World {
  /** What is answered: status, body, and headers where they matter. Absent: nobody can be reached. */
  readonly answer?: (asked: Asked) => readonly [status: number, body: unknown, headers?: Record<string, string>];
  /** The real thing instead. */
  readonly url?: string;
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
  readonly input?: string;
  readonly edit?: (text: string) => string;
  readonly columns?: number | null;
  readonly colour?: boolean;
}

export interface Outcome {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
  readonly asked: readonly Asked[];
  readonly files: Readonly<Record<string, string>>;
}

/** Runs a command line inside this process, in a world that the test makes up. */
export async function pocketwatch(world: World, ...argv: string[]): Promise<Outcome> {
  let out = "";
  let err = "";
  let now = NOW;
  const asked: Asked[] = [];
  const files: Record<string, string> = { ...world.files };
  const config = (): ClientConfig =>
    readClientConfig({ ...(world.url === undefined ? {} : { POCKETWATCH_URL: world.url }), ...world.env });
  const { answer, edit } = world;
  const send = async (url: string | URL | Request, init: RequestInit = {}) => {
    if (answer === undefined) throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    const { pathname, search } = new URL(String(url));
    const request: Asked = {
      method: init.method ?? "GET",
      path: pathname + search,
      headers: new Headers(init.headers),
      body: init.body === undefined ? undefined : JSON.parse(String(init.body)),
    };
    asked.push(request);
    const [status, body, headers = {}] = answer(request);
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return new Response(status === 204 ? null : text, { status, headers });
  };
  const stream = (write: (text: string) => void) => ({
    write,
    columns: world.columns ?? null,
    colour: world.colour ?? false,
  });
  const around: Surroundings = {
    config,
    fetch: world.url === undefined ? (send as typeof fetch) : fetch,
    clock: {
      now: () => (world.url === undefined ? now : Date.now()),
      monotonic: () => now,
      sleep: async (ms) => {
        now += ms;
        if (world.url !== undefined) await new Promise((resolve) => setTimeout(resolve, Math.min(ms, 50)));
      },
      after: () => () => {},
    },
    timezone: "Europe/Berlin",
    version: "1.2.3",
    out: stream((text) => (out += text)),
    err: stream((text) => (err += text)),
    readInput: async () => world.input ?? "",
    readFile: async (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      return text;
    },
    writeFile: async (path, text) => {
      files[path] = text;
    },
    edit:
      edit === undefined
        ? null
        : async (text): Promise<EditedText> => {
            files["edited.yaml"] = edit(text);
            const discard = async () => void delete files["edited.yaml"];
            return { text: files["edited.yaml"]!, file: "edited.yaml", discard };
          },
    serve: async () => {
      out += "serving";
    },
    migrate: async () => {
      out += "migrated";
    },
  };
  const exit = await runCommandLine(argv, around);
  return { exit, out, err, asked, files };
}

/** A schedule as the service answers it. */
export function schedule(fields: Record<string, unknown> = {}) {
  return {
    id: "0199e1aa-0000-7000-8000-000000000001",
    name: "nightly",
    enabled: true,
    description: null,
    labels: {},
    action: "scout.trigger",
    action_version: 1,
    targets: null,
    payload: { source: "stratninja", max_strategies: 20 },
    timing: { kind: "cron", expression: "0 2 * * *", timezone: "UTC" },
    triggers: { webhook: null, channel: null },
    overlap: "skip",
    catchup: { policy: "latest", window_seconds: 86_400 },
    retry: { max_attempts: 3, backoff_seconds: 30, multiplier: 2, max_backoff_seconds: 3_600 },
    timeout_seconds: 7_200,
    heartbeat_seconds: 60,
    start_deadline_seconds: 86_400,
    priority: "normal",
    pool: "scouts",
    depends_on: [],
    max_runs: null,
    pause_after_failures: null,
    notify_on: ["failed"],
    state: "active",
    paused_at: null,
    paused_until: null,
    pause_note: null,
    next_run_at: "2026-11-22T02:00:00.000Z",
    last_occurrence_at: null,
    last_run_at: null,
    last_run_id: null,
    last_run_status: null,
    run_count: 0,
    consecutive_failures: 0,
    problem: null,
    revision: 3,
    created_at: "2026-11-01T00:00:00.000Z",
    updated_at: "2026-11-01T00:00:00.000Z",
    ...fields,
  };
}

export const ACTIONS = {
  items: [
    {
      name: "scout.trigger",
      version: 1,
      title: "Scout",
      description: null,
      routing_key: "scout.trigger.v1",
      pool: "scouts",
      defaults: { heartbeat_seconds: 60 },
      schema: { type: "object", required: ["source"], properties: { source: { type: "string" } } },
      queue: { name: "pocketwatch.work.scout.trigger.v1", messages: 0, consumers: 1 },
    },
  ],
  next_cursor: null,
  problems: [],
};
