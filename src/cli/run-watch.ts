import type { Run } from "./answers.ts";
import { at } from "./client.ts";
import { CommandFailed, EXIT } from "./failures.ts";
import { clockTime } from "./moments.ts";
import { colourOf, paint } from "./paint.ts";
import { inline } from "./printable.ts";
import { nameOf, progressOf, statusOf, tookOf } from "./run-view.ts";
import type { Session } from "./session.ts";

export interface WatchOptions {
  readonly intervalSeconds?: number;
  /** How long it is waited for; absent: for ever. */
  readonly timeoutSeconds?: number;
}

/** A restart of the service takes less; what lasts longer, whoever watches wants to know. */
const MOST_SILENT_POLLS = 30;
const SHORTEST_PAUSE_SECONDS = 0.1;

/**
 * Says each change of a run until it ends. With `--json` a line per change, of which the last is the end.
 * @throws CommandFailed where it does not complete
 */
export async function followRun(session: Session, id: string, options: WatchOptions): Promise<void> {
  const { clock, out, err } = session.around;
  const started = clock.monotonic();
  let said = "";
  let silent = 0;
  for (;;) {
    const run = await look(session, id).catch((error: unknown) => {
      silent += 1;
      const away = error instanceof CommandFailed && error.exit === EXIT.unreachable;
      // The first look has to succeed: a wrong address is not something that passes.
      if (!away || said === "" || silent > MOST_SILENT_POLLS) throw error;
      if (silent === 1) err.write("The service cannot be reached; trying on …\n");
      return null;
    });
    if (run !== null) {
      silent = 0;
      const line = describe(run);
      if (line !== said) {
        if (said === "") session.say(`${run.id} ${inline(nameOf(run))}`);
        out.write(session.json ? `${JSON.stringify(run)}\n` : `${stamp(session, run)}${line}\n`);
      }
      said = line;
      if (run.completed_at !== null) {
        if (run.status === "completed") return;
        throw new CommandFailed(EXIT.failed, "");
      }
    }
    const waited = (clock.monotonic() - started) / 1_000;
    if (options.timeoutSeconds !== undefined && waited >= options.timeoutSeconds) {
      throw new CommandFailed(EXIT.failed, `${id} has not ended; it goes on, unwatched`);
    }
    await clock.sleep(Math.max(options.intervalSeconds ?? 1, SHORTEST_PAUSE_SECONDS) * 1_000);
  }
}

function look({ client }: Session, id: string): Promise<Run> {
  return client.get<Run>(at`/v1/runs/${id}`);
}

function describe(run: Run): string {
  const more = progressOf(run);
  return `${statusOf(run)}${tookOf(run)}${more === "" ? "" : ` · ${more}`}`;
}

function stamp({ around }: Session, run: Run): string {
  return `${clockTime(around.clock.now())}  ${paint(around.out, colourOf(run.status), "●")} `;
}
