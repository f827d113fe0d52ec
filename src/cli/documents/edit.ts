import type { Schedule } from "../answers.ts";
import { showChange } from "../change-view.ts";
import { at } from "../client.ts";
import { CommandFailed, wrongUsage } from "../failures.ts";
import { parseYaml } from "../payload.ts";
import type { Session } from "../session.ts";
import { isObject } from "./changes.ts";
import { readContracts } from "./contracts.ts";
import { everySchedule, nameOf, toDocument } from "./export.ts";
import { yaml } from "./text.ts";

const HEADER =
  "# What is not said is left to the action, then to the service. Leave without saving to change nothing.\n";

/** Hands a schedule to an editor and makes it be what comes back, unless somebody else has changed it meanwhile. */
export async function editInEditor(session: Session, name: string): Promise<void> {
  const { client, around } = session;
  if (around.edit === null) {
    throw wrongUsage("there is no terminal for an editor: say by flags what is to change (see --help)");
  }
  const { body: before, etag } = await client.request<Schedule>("GET", at`/v1/schedules/${name}`);
  const names = nameOf(before.depends_on.length === 0 ? [] : await everySchedule(session));
  const original = HEADER + yaml(toDocument(before, names, await readContracts(client)));
  const edited = await around.edit(original);
  if (edited.text === original) {
    await edited.discard();
    session.say("Nothing was changed.");
    return;
  }
  try {
    const body = parseYaml(edited.text, edited.file);
    if (!isObject(body)) throw wrongUsage("expected the fields of a schedule");
    const { body: after } = await client.request<Schedule>("PUT", at`/v1/schedules/${before.id}`, { body, etag });
    await edited.discard();
    showChange(session, before, after);
  } catch (error) {
    // What somebody wrote is not thrown away with the reason why it cannot be used.
    if (error instanceof CommandFailed) around.err.write(`Your text is kept in ${edited.file}\n`);
    throw error;
  }
}
