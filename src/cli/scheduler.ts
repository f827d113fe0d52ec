import type { Command } from "commander";
import type { Instant } from "../schedule/instant.ts";
import type { SchedulerStatus } from "./answers.ts";
import { examples } from "./help.ts";
import { showDistance, showMomentAndDistance } from "./moments.ts";
import { colourOf } from "./paint.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import type { Fact } from "./table.ts";

/** `pocketwatch status, drain, resume`: the scheduler as a whole. */
export function addScheduler(program: Command, open: OpenSession): void {
  program
    .command("status")
    .description("what the scheduler has on its hands, and who is at work")
    .addHelpText("after", examples(["pocketwatch status"], ["pocketwatch status --json | jq .overdue"]))
    .action(async () => {
      const session = open();
      const status = await session.client.get<SchedulerStatus>("/v1/scheduler");
      session.show(status, () => session.facts(describeScheduler(status, session.around.clock.now())));
    });
  for (const [verb, text, outcome] of [
    ["drain", "hand out no more runs at all, on every instance; what is due goes on being recorded", "is drained"],
    ["resume", "hand out runs again after `drain`", "hands out runs"],
  ] as const) {
    program
      .command(verb)
      .description(text)
      .addHelpText("after", examples([`pocketwatch ${verb}`]))
      .action(async () => {
        const session = open();
        const status = await session.client.post<SchedulerStatus>(`/v1/scheduler/${verb}`);
        const { in_flight, pending } = status;
        session.show(status, () => `The scheduler ${outcome}; ${in_flight} in flight, ${pending} pending.\n`);
      });
  }
}

function describeScheduler(status: SchedulerStatus, now: Instant): Fact[] {
  const since = (count: number, oldest: string | null) =>
    oldest === null ? String(count) : `${count}, the oldest since ${showMomentAndDistance(oldest, now)}`;
  const { broker, outbox } = status;
  return [
    ["scheduler", status.state, colourOf(status.state)],
    ["overdue", since(status.overdue, status.oldest_overdue_at)],
    ["to plan", String(status.to_plan)],
    ["waiting", String(status.waiting)],
    ["pending", since(status.pending, status.oldest_pending_at)],
    ["in flight", String(status.in_flight)],
    ["to be told", since(outbox.count, outbox.oldest_at)],
    ["broker", broker === null ? null : `publishing ${broker.publishing}, consuming ${broker.consuming}`],
    ...status.instances.flatMap((instance): Fact[] => {
      const { alive, last_seen_at, passes } = instance;
      const seen = last_seen_at === null ? "never seen" : `seen ${showDistance(last_seen_at, now)}`;
      const state = `v${instance.version}, ${alive ? "alive" : "gone"}, ${seen}, broker ${instance.broker}`;
      const failing = Object.entries(passes).flatMap(([pass, { last_error }]) =>
        last_error === null ? [] : [`${pass}: ${inline(last_error)}`],
      );
      return [
        [inline(instance.id), state, alive ? null : "dim"],
        ["", failing.length === 0 ? null : failing.join("\n"), "red"],
      ];
    }),
  ];
}
