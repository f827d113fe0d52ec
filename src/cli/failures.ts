/** What scripts can go by. Not a service's error and not a usage mistake: exit codes are an interface. */
export const EXIT = {
  ok: 0,
  /** The service refused, or the thing failed. */
  failed: 1,
  /** Wrong usage or configuration: trying again changes nothing. */
  usage: 2,
  /** The service, or something it needs, is away: trying again may help. */
  unreachable: 3,
  not_found: 4,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** One thing wrong with one field of a request, as the service names it. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** A command ends here, with this code. An empty message: everything has been said already. */
export class CommandFailed extends Error {
  readonly exit: ExitCode;
  readonly fields: readonly FieldProblem[];
  /** The service's problem details, for `--json`. */
  readonly problem: Readonly<Record<string, unknown>> | null;

  constructor(
    exit: ExitCode,
    message: string,
    more: { fields?: readonly FieldProblem[]; problem?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message);
    this.name = "CommandFailed";
    this.exit = exit;
    this.fields = more.fields ?? [];
    this.problem = more.problem ?? null;
  }
}

export function wrongUsage(message: string, fields: readonly FieldProblem[] = []): CommandFailed {
  return new CommandFailed(EXIT.usage, message, { fields });
}

/** For people: the message, then a line per field. */
export function describeFailure(failure: CommandFailed): string {
  return [failure.message, ...failure.fields.map(({ field, message }) => `  ${field}: ${message}`)].join("\n");
}

/** For programs: problem details, the service's own where it answered. */
export function failureAsJson(failure: CommandFailed): string {
  const own = { title: failure.message, errors: failure.fields, exit_code: failure.exit };
  return JSON.stringify(failure.problem === null ? own : { ...failure.problem, exit_code: failure.exit });
}
