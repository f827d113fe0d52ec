import type { ClientConfig } from "../config.ts";
import { CommandFailed, EXIT, type ExitCode, type FieldProblem, wrongUsage } from "./failures.ts";

export interface Answer<Body> {
  readonly body: Body;
  /** Names the state that was answered; a change that sends it back does not overwrite somebody else's. */
  readonly etag: string | null;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next_cursor: string | null;
}

/** Absent values are left out, lists are repeated. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface Client {
  readonly url: string;
  /** `path` comes from `at`, which encodes what is put into it. */
  request<Body>(method: Method, path: string, more?: RequestMore): Promise<Answer<Body>>;
  get<Body>(path: string, query?: Query): Promise<Body>;
  post<Body>(path: string, body?: object): Promise<Body>;
  /** Follows the pages until there are so many items. */
  list<Item>(path: string, query: Query, most: number): Promise<Page<Item>>;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface RequestMore {
  readonly query?: Query;
  readonly body?: unknown;
  readonly etag?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

const PATIENCE_MS = 30_000;
const LARGEST_PAGE = 500;

export function createClient(config: ClientConfig, send: typeof fetch): Client {
  const { url } = config;

  async function request<Body>(method: Method, path: string, more: RequestMore = {}): Promise<Answer<Body>> {
    const headers: Record<string, string> = { accept: "application/json", ...more.headers };
    if (config.token !== null) headers.authorization = `Bearer ${config.token}`;
    if (more.etag) headers["if-match"] = more.etag;
    if (more.body !== undefined) headers["content-type"] = "application/json";
    let response: Response;
    let text: string;
    try {
      response = await send(`${url}${path}${queryString(more.query ?? {})}`, {
        method,
        headers,
        ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
        redirect: "error",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      text = await response.text();
    } catch (error) {
      throw unreachable(url, error);
    }
    const body = parse(text);
    if (response.ok && (body !== undefined || text === "")) {
      return { body: body as Body, etag: response.headers.get("etag") };
    }
    throw refused(url, response.status, body, config.token !== null);
  }

  return {
    url,
    request,
    get: async (path, query = {}) => (await request<never>("GET", path, { query })).body,
    post: async (path, body = {}) => (await request<never>("POST", path, { body })).body,
    async list<Item>(path: string, query: Query, most: number) {
      const items: Item[] = [];
      let cursor: string | undefined = query.cursor as string | undefined;
      for (;;) {
        const limit = Math.min(LARGEST_PAGE, most - items.length);
        const page = (await request<Page<Item>>("GET", path, { query: { ...query, cursor, limit } })).body;
        items.push(...page.items);
        if (page.next_cursor === null || items.length >= most) return { items, next_cursor: page.next_cursor };
        cursor = page.next_cursor;
      }
    },
  };
}

/** A path whose parts may hold any character: ``at`/v1/schedules/${name}/pause` ``. */
export function at(fixed: TemplateStringsArray, ...parts: readonly string[]): string {
  for (const part of parts) {
    // Every URL parser takes these as steps, however they are encoded, so that another address would be asked.
    if (part === "." || part === "..") throw wrongUsage(`${JSON.stringify(part)} can only be named by its id`);
    if (part === "") throw wrongUsage("a name must not be empty");
  }
  return String.raw({ raw: fixed.raw }, ...parts.map((part) => encodeURIComponent(part)));
}

function queryString(query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, String(one)]),
  );
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(url: string, error: unknown): CommandFailed {
  const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
  const why = name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1_000} s` : cause?.code || cause?.message;
  const hint = "Is the service running? POCKETWATCH_URL says where it is.";
  return new CommandFailed(EXIT.unreachable, `${url} cannot be reached: ${why || message}\n${hint}`);
}

function refused(url: string, status: number, body: unknown, hasToken: boolean): CommandFailed {
  const problem = body as { title?: unknown; detail?: unknown; errors?: readonly FieldProblem[] } | undefined;
  if (typeof problem?.title !== "string") {
    const answered = `${url} answered with ${status}, and not as Pocketwatch does`;
    return new CommandFailed(EXIT.unreachable, `${answered}\nDoes POCKETWATCH_URL name the service?`);
  }
  const fields = problem.errors ?? [];
  // With fields, the detail only repeats the first of them.
  const detail = fields.length > 0 || typeof problem.detail !== "string" ? "" : `: ${problem.detail}`;
  const message = `${problem.title}${detail}${fields.length > 0 ? ":" : ""}${tokenHint(status, hasToken)}`;
  return new CommandFailed(exitCode(status), message, { fields, problem: body as Record<string, unknown> });
}

function tokenHint(status: number, hasToken: boolean): string {
  if (status !== 401 && (status !== 403 || !hasToken)) return "";
  const wrong = hasToken ? "is not one of its tokens" : "is not set";
  const what = status === 403 ? "needs a token with that scope" : wrong;
  return `\nPOCKETWATCH_TOKEN ${what}. Who runs the service makes one with \`pocketwatch tokens create\`.`;
}

function exitCode(status: number): ExitCode {
  if (status === 404) return EXIT.not_found;
  return status === 429 || status === 502 || status === 503 || status === 504 ? EXIT.unreachable : EXIT.failed;
}
