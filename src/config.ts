import { hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { isLoopback } from "./access/loopback.ts";
import { postgresTlsProblem, type TlsFiles, unreadable, withLibpqModes } from "./access/tls.ts";
import { readTokenFile, type TokenSource } from "./access/token-source.ts";
import { parseTokens, type Token } from "./access/tokens.ts";
import { FAILPOINT_ACTIONS, FAILPOINTS, type Failpoint } from "./runtime/failpoint.ts";

/*
 * Environment → typed configuration. Nothing else reads process.env, so this list is complete.
 */

// Works from src/ and from dist/ alike.
const PUBLISHED_CONTRACTS = fileURLToPath(new URL("../contracts", import.meta.url));

const flag = (initial: boolean) =>
  z
    .enum(["true", "false", "1", "0"], { error: "expected true or false" })
    .transform((text) => text === "true" || text === "1")
    .default(initial);
const whole = (least: number, most: number, initial: number) =>
  z.coerce
    .number({ error: `expected a whole number from ${least} to ${most}` })
    .int(`expected a whole number from ${least} to ${most}`)
    .min(least, `expected at least ${least}`)
    .max(most, `expected at most ${most}`)
    .default(initial);
const address = (protocols: string[]) =>
  z
    .string({ error: "is required" })
    .refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
      error: `expected a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`,
    });

/** Tokens that `read` takes from a variable's value. */
const tokens = (read: (value: string) => Token[]) =>
  z
    .string()
    .transform((value, context) => {
      try {
        return { value, tokens: read(value) };
      } catch (error) {
        context.addIssue({ code: "custom", message: (error as Error).message });
        return z.NEVER;
      }
    })
    .optional();

/** A file that is there. */
const file = z
  .string()
  .superRefine((path, context) => {
    const problem = unreadable(path);
    if (problem !== null) context.addIssue({ code: "custom", message: problem });
  })
  .optional();

const schema = z.object({
  DATABASE_URL: address(["postgres:", "postgresql:"])
    .refine((url) => !URL.canParse(url) || postgresTlsProblem(url) === null, {
      error: ({ input }) => postgresTlsProblem(input as string) ?? "",
    })
    .transform(withLibpqModes),
  AMQP_URL: address(["amqp:", "amqps:"]),
  AMQP_CA_FILE: file,
  AMQP_CERT_FILE: file,
  AMQP_KEY_FILE: file,
  TOPOLOGY_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,40}$/, "expected 1 to 40 letters, digits, - or _")
    .default("pocketwatch"),
  CONTRACTS_DIR: z.string().min(1).default(PUBLISHED_CONTRACTS),
  HTTP_HOST: z.string().min(1).default("127.0.0.1"),
  HTTP_PORT: whole(0, 65_535, 7_420),
  API_TOKENS: tokens(parseTokens),
  API_TOKENS_FILE: tokens(readTokenFile),
  RATE_LIMIT_PER_MINUTE: whole(0, 10_000_000, 30_000),
  POLL_INTERVAL_SECONDS: whole(1, 3_600, 30),
  LOG_LEVEL: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  MIGRATE_ON_START: flag(true),
  RETAIN_DAYS: whole(1, 36_500, 30),
  RETAIN_AUDIT_DAYS: whole(1, 36_500, 365),
  RETAIN_RUNS_PER_SCHEDULE: whole(1, 1_000_000, 200),
  RETAIN_INTERVAL_HOURS: whole(1, 8_760, 24),
  SHUTDOWN_TIMEOUT_SECONDS: whole(1, 3_600, 15),
  DATABASE_POOL_SIZE: whole(3, 200, 10),
  // For tests only (test/faults): `name`, `name:action` or `name:action:n`.
  FAILPOINT: z
    .string()
    .transform((text, context): Failpoint => {
      const [name, action = "kill", nth = "1"] = text.split(":");
      const known = z.object({
        name: z.enum(FAILPOINTS),
        action: z.enum(FAILPOINT_ACTIONS),
        nth: z.coerce.number().int(),
      });
      const parsed = known.safeParse({ name, action, nth });
      if (parsed.success) return parsed.data;
      context.addIssue({ code: "custom", message: "expected a failpoint of the service's tests" });
      return z.NEVER;
    })
    .optional(),
  INSTANCE: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,80}$/, "expected 1 to 80 letters, digits, -, _ or .")
    .optional(),
});

export interface Config {
  readonly database_url: string;
  readonly amqp_url: string;
  readonly amqp_tls: TlsFiles;
  readonly prefix: string;
  readonly contracts_dir: string;
  readonly http_host: string;
  readonly http_port: number;
  /** Null: none are configured, and `http_host` is loopback. */
  readonly tokens: TokenSource | null;
  /** Of one token, or without tokens of one address; 0: none. */
  readonly requests_per_minute: number;
  readonly poll_interval_ms: number;
  readonly log_level: string;
  readonly migrate_on_start: boolean;
  readonly retention: {
    readonly days: number;
    readonly audit_days: number;
    readonly runs_per_schedule: number;
    readonly interval_ms: number;
  };
  /** How long a stop may take; what is in hand then is left to its leases. */
  readonly shutdown_timeout_ms: number;
  readonly database_pool_size: number;
  /** Tests only. */
  readonly failpoint: Failpoint | null;
  /** Names this process among its siblings; unique per process unless set. */
  readonly instance: string;
}

/** The environment cannot be used; the message names every variable at fault, and no value of a secret one. */
export class InvalidConfiguration extends Error {}

/** @throws InvalidConfiguration */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const value = parse(schema.superRefine(refuseOpenDoor).superRefine(refuseHalfTls), environment);
  return {
    database_url: value.DATABASE_URL,
    amqp_url: value.AMQP_URL,
    amqp_tls: {
      ca: value.AMQP_CA_FILE ?? null,
      client:
        value.AMQP_CERT_FILE && value.AMQP_KEY_FILE ? { cert: value.AMQP_CERT_FILE, key: value.AMQP_KEY_FILE } : null,
    },
    prefix: value.TOPOLOGY_PREFIX,
    contracts_dir: value.CONTRACTS_DIR,
    http_host: value.HTTP_HOST,
    http_port: value.HTTP_PORT,
    tokens:
      value.API_TOKENS === undefined && value.API_TOKENS_FILE === undefined
        ? null
        : { fixed: value.API_TOKENS?.tokens ?? [], file: value.API_TOKENS_FILE?.value ?? null },
    requests_per_minute: value.RATE_LIMIT_PER_MINUTE,
    poll_interval_ms: value.POLL_INTERVAL_SECONDS * 1_000,
    log_level: value.LOG_LEVEL,
    migrate_on_start: value.MIGRATE_ON_START,
    retention: {
      days: value.RETAIN_DAYS,
      audit_days: value.RETAIN_AUDIT_DAYS,
      runs_per_schedule: value.RETAIN_RUNS_PER_SCHEDULE,
      interval_ms: value.RETAIN_INTERVAL_HOURS * 3_600_000,
    },
    shutdown_timeout_ms: value.SHUTDOWN_TIMEOUT_SECONDS * 1_000,
    database_pool_size: value.DATABASE_POOL_SIZE,
    failpoint: value.FAILPOINT ?? null,
    instance:
      value.INSTANCE ??
      `${hostname()
        .replace(/[^A-Za-z0-9_.-]/g, "-")
        .slice(0, 60)}-${process.pid}`,
  };
}

/** The database to migrate, which needs nothing else. @throws InvalidConfiguration */
export function readMigrationConfig(environment: NodeJS.ProcessEnv = process.env): { readonly database_url: string } {
  return { database_url: parse(schema.pick({ DATABASE_URL: true }), environment).DATABASE_URL };
}

/** Without tokens everybody may do everything, so nobody but this machine may ask. */
function refuseOpenDoor(value: z.output<typeof schema>, context: z.RefinementCtx): void {
  if (value.API_TOKENS !== undefined || value.API_TOKENS_FILE !== undefined || isLoopback(value.HTTP_HOST)) return;
  const message = [
    `${value.HTTP_HOST} is not loopback, and without tokens whoever reaches the service may do everything.`,
    "    Make a token with",
    "      pocketwatch tokens create --name <whose> --scope admin",
    "    and set API_TOKENS to what it prints, or leave HTTP_HOST at 127.0.0.1.",
  ];
  context.addIssue({ code: "custom", path: ["HTTP_HOST"], message: message.join("\n") });
}

function refuseHalfTls(value: z.output<typeof schema>, context: z.RefinementCtx): void {
  const refuse = (name: string, message: string) => context.addIssue({ code: "custom", path: [name], message });
  for (const name of ["AMQP_CA_FILE", "AMQP_CERT_FILE", "AMQP_KEY_FILE"] as const) {
    if (value[name] !== undefined && !value.AMQP_URL.startsWith("amqps:")) refuse(name, "AMQP_URL is not amqps://");
  }
  if (!value.AMQP_CERT_FILE !== !value.AMQP_KEY_FILE) refuse("AMQP_CERT_FILE", "goes together with AMQP_KEY_FILE");
}

/** @throws InvalidConfiguration */
function parse<Schema extends z.ZodType>(wanted: Schema, environment: NodeJS.ProcessEnv): z.output<Schema> {
  // An empty variable is how many shells and compose files say "unset".
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = wanted.safeParse(given);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`);
  throw new InvalidConfiguration(`The configuration cannot be used:\n${lines.join("\n")}`);
}

/** What the command line needs to know of a service that runs elsewhere. */
export interface ClientConfig {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | null;
}

const clientSchema = z.object({
  POCKETWATCH_URL: address(["http:", "https:"])
    .refine((text) => !hasCredentials(text), {
      error: "must not contain a user or a password; a token belongs into POCKETWATCH_TOKEN",
    })
    .default("http://127.0.0.1:7420"),
  POCKETWATCH_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]+$/, "must not contain spaces or other than ASCII characters")
    .optional(),
});

/** @throws InvalidConfiguration */
export function readClientConfig(environment: NodeJS.ProcessEnv = process.env): ClientConfig {
  const { POCKETWATCH_URL, POCKETWATCH_TOKEN } = parse(clientSchema, environment);
  const { origin, pathname } = new URL(POCKETWATCH_URL);
  return { url: `${origin}${pathname}`.replace(/\/+$/, ""), token: POCKETWATCH_TOKEN ?? null };
}

function hasCredentials(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, password } = new URL(text);
  return username !== "" || password !== "";
}

/** How a person likes the command line to behave, by the conventions of other programs. */
export function readPreferences(environment: NodeJS.ProcessEnv = process.env) {
  const { VISUAL, EDITOR, NO_COLOR, TERM } = environment;
  return { editor: VISUAL || EDITOR || "vi", plain: Boolean(NO_COLOR) || TERM === "dumb" };
}
