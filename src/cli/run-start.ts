import { type Command, Option } from "commander";
import type { Run } from "./answers.ts";
import { examples } from "./help.ts";
import { seconds, several, whole } from "./option-values.ts";
import { parsePayload } from "./payload.ts";
import type { OpenSession } from "./program.ts";
import { describeOutcome } from "./run-view.ts";
import { followRun } from "./run-watch.ts";

/** `pocketwatch runs start`: an action, now, without a schedule. */
export function addRunStart(runs: Command, open: OpenSession): void {
  runs
    .command("start")
    .description("run an action now, without a schedule")
    .argument("<action>", "what is to be done (pocketwatch actions)")
    .option("--payload <json|@file>", "as the action's contract says; {} unless given")
    .option("--action-version <version>", "the latest unless given", whole(1))
    .option("--target <target>", "one child run for each; may be repeated", several)
    .addOption(new Option("--priority <priority>", "in its pool").choices(["high", "normal", "low"]))
    .option("--pool <pool>", "which cap it counts against")
    .option("--timeout <duration>", "of an attempt", seconds)
    .option("--max-attempts <count>", "of the run", whole(1))
    .option("--idempotency-key <key>", "the same key makes no second run within 24 hours")
    .option("--watch", "follow the run; exits with 0 if it completes, else with 1")
    .addHelpText(
      "after",
      examples([
        `pocketwatch runs start scout.trigger --priority high \\
    --payload '{"source":"ninja","max_strategies":20}' --watch`,
      ]),
    )
    .action(async (action: string, { payload, target, timeout, maxAttempts, idempotencyKey, watch, ...more }) => {
      const session = open();
      const body = {
        ...{ action, action_version: more.actionVersion, targets: target, priority: more.priority, pool: more.pool },
        ...{ payload: payload === undefined ? undefined : await parsePayload(session, payload) },
        ...{ timeout_seconds: timeout, retry: maxAttempts === undefined ? undefined : { max_attempts: maxAttempts } },
      };
      const headers = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
      const { body: run } = await session.client.request<Run>("POST", "/v1/runs", { body, headers });
      if (watch) return followRun(session, run.id, {});
      session.show(run, () => describeOutcome(run));
    });
}
