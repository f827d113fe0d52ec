import type { Place } from "./completion.ts";

const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** One `complete` per word and place; fish does the rest. */
export function fishScript(places: readonly Place[]): string {
  const steps = places.flatMap(({ path, commands }) =>
    commands.map(
      ({ word }) =>
        `            case ${quoted(`${path} ${word}`)}\n                set place ${quoted(`${path} ${word}`)}\n`,
    ),
  );
  const lines = places.flatMap(({ path, commands, options, values, argumentValues }) => {
    const here = `complete -c pocketwatch -n ${quoted(`__pocketwatch_at ${quoted(path)}`)}`;
    const choices = new Map(values.map(({ option, values: some }) => [option, some]));
    return [
      ...commands.map(({ word, text }) => `${here} -f -a ${word} -d ${quoted(text)}`),
      ...(argumentValues.length === 0 ? [] : [`${here} -f -a ${quoted(argumentValues.join(" "))}`]),
      ...options.map(({ word, text, takesValue }) => {
        const some = choices.get(word);
        const value = some === undefined ? (takesValue ? " -r" : "") : ` -x -a ${quoted(some.join(" "))}`;
        return `${here} -l ${word.slice("--".length)}${value} -d ${quoted(text)}`;
      }),
    ];
  });
  return `# fish completion of pocketwatch: pocketwatch completion fish | source
function __pocketwatch_at
    set -l place ''
    set -l words (commandline -opc)
    for word in $words[2..-1]
        switch "$place $word"
${steps.join("")}        end
    end
    test "$place" = "$argv[1]"
end
${lines.join("\n")}
`;
}
