import { Argument, type Command } from "commander";
import { fishScript } from "./fish.ts";
import { examples } from "./help.ts";
import type { Surroundings } from "./surroundings.ts";

/** `pocketwatch completion`: scripts for shells, made of the command tree, so that they cannot fall behind it. */
export function addCompletion(program: Command, around: Surroundings): void {
  const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript };
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "which one").choices(Object.keys(scripts)))
    .addHelpText(
      "after",
      examples(
        ["source <(pocketwatch completion bash)", "in ~/.bashrc"],
        ["pocketwatch completion zsh > ~/.zfunc/_pocketwatch", "in a directory of $fpath"],
        ["pocketwatch completion fish | source", "in ~/.config/fish/config.fish"],
      ),
    )
    .action((shell: keyof typeof scripts) => around.out.write(scripts[shell](describeTree(program))));
}

export interface Place {
  /** ` schedules list`; empty at the top. */
  readonly path: string;
  readonly commands: readonly Candidate[];
  readonly options: readonly (Candidate & { readonly takesValue: boolean })[];
  /** Values that can be told beforehand, by option. */
  readonly values: readonly { readonly option: string; readonly values: readonly string[] }[];
  readonly argumentValues: readonly string[];
}

interface Candidate {
  readonly word: string;
  readonly text: string;
}

function describeTree(program: Command): Place[] {
  const places: Place[] = [];
  const visit = (command: Command, path: string) => {
    const options = [...command.options, ...(command === program ? [] : program.options)].filter(
      ({ long, hidden }) => !hidden && (long !== "--version" || command === program),
    );
    places.push({
      path,
      commands: command.commands.map((child) => ({ word: child.name(), text: child.description() })),
      options: [
        ...options.flatMap(({ long, description, required }) =>
          long ? [{ word: long, text: description, takesValue: required }] : [],
        ),
        { word: "--help", text: "show how it is used", takesValue: false },
      ],
      values: options.flatMap(({ long, argChoices }) =>
        long && argChoices ? [{ option: long, values: argChoices }] : [],
      ),
      argumentValues: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    });
    for (const child of command.commands) visit(child, `${path} ${child.name()}`);
  };
  visit(program, "");
  return places;
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Finds out which command the words before the cursor name, in both shells the same way. */
function walk(places: readonly Place[], indent: string): string {
  const steps = places.flatMap(({ path, commands }) =>
    commands.map(({ word }) => `${indent}${quoted(`${path} ${word}`)}) place=${quoted(`${path} ${word}`)} ;;\n`),
  );
  return steps.join("");
}

function bashScript(places: readonly Place[]): string {
  const values = places.flatMap(({ path, values: all }) =>
    all.map(({ option, values: some }) => `    ${quoted(`${path} ${option}`)}) words=${quoted(some.join(" "))} ;;\n`),
  );
  const words = places.map(({ path, commands, options, argumentValues }) => {
    const plain = [...commands.map(({ word }) => word), ...argumentValues].join(" ");
    const dashed = options.map(({ word }) => word).join(" ");
    return `      ${quoted(path)}) plain=${quoted(plain)}; dashed=${quoted(dashed)} ;;\n`;
  });
  return `# bash completion of pocketwatch: source <(pocketwatch completion bash)
_pocketwatch() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}"
  local place='' words='' plain='' dashed='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place \${COMP_WORDS[i]}" in
${walk(places, "      ")}    esac
  done
  case "$place $previous" in
${values.join("")}  esac
  if [[ -z $words ]]; then
    case "$place" in
${words.join("")}    esac
    if [[ $current == -* ]]; then words=$dashed; else words=$plain; fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
# Where nothing fits, a file's name may.
complete -o default -F _pocketwatch pocketwatch
`;
}

function zshScript(places: readonly Place[]): string {
  const described = ({ word, text }: Candidate) => quoted(`${word}:${text.replaceAll(":", "\\:")}`);
  const values = places.flatMap(({ path, values: all }) =>
    all.map(({ option, values: some }) => {
      return `    ${quoted(`${path} ${option}`)}) compadd -- ${some.map(quoted).join(" ")}; return ;;\n`;
    }),
  );
  const candidates = places.map(({ path, commands, options, argumentValues }) => {
    const plain = [...commands.map(described), ...argumentValues.map(quoted)].join(" ");
    return `    ${quoted(path)}) plain=(${plain}); dashed=(${options.map(described).join(" ")}) ;;\n`;
  });
  return `#compdef pocketwatch
_pocketwatch() {
  local place='' word
  local -a plain dashed
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$place $word" in
${walk(places, "      ")}    esac
  done
  case "$place \${words[CURRENT-1]}" in
${values.join("")}  esac
  case "$place" in
${candidates.join("")}  esac
  if [[ \${words[CURRENT]} == -* ]]; then
    _describe 'option' dashed
  elif (( \${#plain} )); then
    _describe 'command' plain
  else
    _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _pocketwatch "$@"; else compdef _pocketwatch pocketwatch; fi
`;
}
