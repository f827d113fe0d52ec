import { type Command, InvalidArgumentError, Option } from "commander";
import { NAME, newSecret, SCOPES, type TokenScope, tokenEntry } from "../access/tokens.ts";
import { examples } from "./help.ts";
import type { Surroundings } from "./surroundings.ts";

/** `pocketwatch tokens`: makes them, without a service; where they are kept is the configuration's business. */
export function addTokens(program: Command, around: Surroundings): void {
  program
    .command("tokens")
    .description("tokens that the service lets in")
    .helpCommand(false)
    .command("create")
    .description("make a token, and what tells the service of it")
    .requiredOption("--name <name>", "whose it is; what it does is recorded under this name", toName)
    .addOption(new Option("--scope <scope>", "what it may do").choices(SCOPES).makeOptionMandatory())
    .addHelpText("after", `${SCOPE_HELP}${examples(["pocketwatch tokens create --name grafana --scope read"])}`)
    .action(({ name, scope }: { name: string; scope: TokenScope }) => {
      const token = newSecret();
      const entry = tokenEntry(name, scope, token);
      const { out } = around;
      if (program.opts().json === true) return out.write(`${JSON.stringify({ name, scope, token, entry }, null, 2)}\n`);
      // Not wrapped at the width of a terminal: both are to be copied.
      out.write(`token  ${token}
entry  ${entry}
`);
      around.err.write(
        "The token is shown this once: its owner sets POCKETWATCH_TOKEN to it, or sends it as `Authorization: Bearer`.\n" +
          "The entry is for the service: add it to API_TOKENS, or as a line to the file that API_TOKENS_FILE names.\n",
      );
    });
}

const SCOPE_HELP = `
Scopes, each including those before it:
  read     look at everything, metrics included
  trigger  run, cancel and retry; fire webhooks
  admin    change schedules and pools, reload, drain, clean up
`;

function toName(text: string): string {
  if (NAME.test(text)) return text;
  throw new InvalidArgumentError("A name has 1 to 80 letters, digits, -, _ or .");
}
