import { type Logger, pino } from "pino";

/**
 * JSON lines on stdout, without passwords and tokens: neither under the names they usually have nor in a text that somebody
 * else made, such as a library's error that repeats the URL it was given.
 */
export function createLogger(level: string, fields: Record<string, unknown> = {}): Logger {
  return pino({
    level,
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: [
        "url",
        "*.url",
        "password",
        "*.password",
        "authorization",
        "*.authorization",
        "req.headers.authorization",
      ],
      censor: "[hidden]",
    },
    hooks: { streamWrite: withoutSecrets },
  });
}

/** A line of the log without what looks like the password of a URL, a token of the service, or a bearer token of anyone. */
export function withoutSecrets(line: string): string {
  return line
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s:/?#@"\\]*):(?:\\.|[^\s"\\])*@/gi, "$1:[hidden]@")
    .replace(/([?&](?:ssl)?password=)[^\s&"]*/gi, "$1[hidden]")
    .replace(/\bpwt_[\w-]+/g, "[hidden]")
    .replace(/\b(Bearer +)[^\s",]+/gi, "$1[hidden]");
}
