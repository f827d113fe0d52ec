/** AMQP reply codes that decide something here. Never decide by an error's text. */
export const REPLY = {
  content_too_large: 311,
  access_refused: 403,
  not_found: 404,
  resource_locked: 405,
  precondition_failed: 406,
} as const;

/** The AMQP reply code of an amqplib error; `null` where the broker did not say one (socket errors, local errors). */
export function codeOf(error: unknown): number | null {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "number" ? code : null;
}

/** One line for the log, without the error's properties: some carry the URL and so the password. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error ?? "closed");
  // A refused connection to a name with two addresses is an AggregateError without a message.
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
}
