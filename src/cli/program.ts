import { Command, CommanderError } from "commander";
import { InvalidConfiguration } from "../config.ts";
import { addCompletion } from "./completion.ts";
import { addExport } from "./documents/export.ts";
import { addImport } from "./documents/import.ts";
import { CommandFailed, describeFailure, EXIT, failureAsJson } from "./failures.ts";
import { ADD_EXAMPLE, examples } from "./help.ts";
import { addHistory } from "./history.ts";
import { addPools } from "./pools.ts";
import { addRuns } from "./runs.ts";
import { addScheduleChanges } from "./schedule-changes.ts";
import { addScheduleControls } from "./schedule-controls.ts";
import { addScheduleTimes } from "./schedule-times.ts";
import { addScheduler } from "./scheduler.ts";
import { addSchedules } from "./schedules.ts";
import { addServiceCommands } from "./service-commands.ts";
import { createSession, type Session } from "./session.ts";
import type { Surroundings } from "./surroundings.ts";
import { addTokens } from "./tokens.ts";
import { addTrouble } from "./trouble.ts";

/** How a command gets at the service; called only when one runs, so that `--help` needs no configuration. */
export type OpenSession = () => Session;

/** The whole command tree. */
export function buildProgram(around: Surroundings): Command {
  const program = new Command("pocketwatch");
  const open: OpenSession = () => createSession(around, program.opts().json === true);
  // What is set here is inherited by every command that is added below.
  program
    .exitOverride()
    .configureOutput({
      writeOut: around.out.write,
      writeErr: around.err.write,
      getOutHelpWidth: () => around.out.columns ?? 80,
      getErrHelpWidth: () => around.err.columns ?? 80,
      getOutHasColors: () => around.out.colour,
      getErrHasColors: () => around.err.colour,
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(--help shows how it is used)")
    .description("Schedules that fire once, and the runs that come of them.")
    .version(around.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show how it is used")
    .helpCommand(false)
    .option("--json", "print JSON, for programs")
    .addHelpText("after", ABOUT);
  program.commandsGroup("The service:");
  addServiceCommands(program, around, open);
  addTokens(program, around);
  addScheduler(program, open);
  program.commandsGroup("Schedules and runs:");
  const schedules = addSchedules(program, open);
  addScheduleChanges(schedules, open);
  addScheduleControls(schedules, open);
  addScheduleTimes(schedules, open);
  addRuns(program, open);
  addPools(program, open);
  addTrouble(program, open);
  addHistory(program, open);
  program.commandsGroup("Schedules as files:");
  addExport(program, open);
  addImport(program, open);
  program.commandsGroup("This program:");
  addCompletion(program, around);
  return program;
}

const ABOUT = `
Environment:
  POCKETWATCH_URL    where the service is (http://127.0.0.1:7420)
  POCKETWATCH_TOKEN  sent as bearer token

Exit codes:
  0  done
  1  the service refused, or what was watched did not complete
  2  wrong usage or configuration
  3  the service, or something it needs, cannot be reached or is busy
  4  there is no such thing
${examples(
  [ADD_EXAMPLE],
  ["pocketwatch schedules upcoming nightly", "when does it fire?"],
  ["pocketwatch schedules trigger nightly --watch", "run it now and wait for its end"],
  ["pocketwatch runs list --schedule nightly", "what became of its runs?"],
  ["pocketwatch runs show <id>", "and why?"],
  ["pocketwatch schedules pause --label team=ops --until monday", "a group, for the weekend"],
)}`;

/** Runs one command line; answers the exit code. Errors that nobody foresaw are thrown. */
export async function runCommandLine(argv: readonly string[], around: Surroundings): Promise<number> {
  const program = buildProgram(around);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return EXIT.ok;
  } catch (error) {
    // Commander has said by itself what is wrong, or has shown the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const failure =
      error instanceof InvalidConfiguration ? new CommandFailed(EXIT.usage, error.message) : (error as CommandFailed);
    if (!(failure instanceof CommandFailed)) throw error;
    if (failure.message !== "") {
      const json = program.opts().json === true;
      around.err.write(`${json ? failureAsJson(failure) : describeFailure(failure)}\n`);
    }
    return failure.exit;
  }
}
