/** What stands below a command's help. Each example is a command line, and what it is for. */
export function examples(...lines: readonly (readonly [command: string, purpose?: string])[]): string {
  const room = Math.max(0, ...lines.map(([command]) => command.length).filter((length) => length <= 50));
  const shown = lines.map(([command, purpose]) => {
    if (purpose === undefined) return `  ${command}`;
    const sameLine = room + purpose.length < 72 && command.length <= room;
    return sameLine ? `  ${command.padEnd(room)}  # ${purpose}` : `  # ${purpose}\n  ${command}`;
  });
  return `\nExamples:\n${shown.join("\n")}`;
}
