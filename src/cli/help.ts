/** What stands below a command's help: command lines, and what each is for. One of several lines comes as one text. */
export function examples(...lines: readonly (readonly [command: string, purpose?: string])[]): string {
  const room = Math.max(...lines.map(([command]) => (command.includes("\n") ? LINE : command.length)));
  const beside = lines.every(([, purpose = ""]) => room + purpose.length + "    # ".length <= LINE);
  const shown = lines.map(([command, purpose]) => {
    if (purpose === undefined) return `  ${command}`;
    return beside ? `  ${command.padEnd(room)}  # ${purpose}` : `  # ${purpose}\n  ${command}`;
  });
  return `\nExamples:\n${shown.join("\n")}`;
}

const LINE = 80;

export const ADD_EXAMPLE = `pocketwatch schedules add --name nightly --cron '0 2 * * *' \\
    --action scout.trigger --payload '{"source":"ninja","max_strategies":20}'`;
