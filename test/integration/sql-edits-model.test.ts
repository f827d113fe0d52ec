import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { markForPlanning } from "../../src/database/planning.ts";
import { fireOnTime } from "../../src/passes/fire-foreseen.ts";
import { Outlook } from "../../src/passes/outlook.ts";
import { plan } from "../../src/passes/plan.ts";
import { forgotten } from "../support/agenda.ts";
import { addSchedule } from "../support/rows.ts";
import { startTestService, type TestService } from "../support/service.ts";

/*
 * Random stories of one schedule: time passes, it is edited, paused, disabled, reloaded, planned and fired in any order.
 * Beside it runs a model that knows no database: which instants were due, by what was in force when they came. In the
 * end every instant that was due has exactly one row that says what became of it, and nothing else has one.
 */

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.stop());

const START = Date.parse("2026-03-01T09:30:30Z");
const MINUTE = 60_000;

interface Timing {
  readonly kind: "cron" | "interval";
  readonly minutes: number;
}

type Step =
  | { readonly do: "wait"; readonly seconds: number }
  | { readonly do: "plan" | "fire" | "reload" | "payload" | "labels" | "disable" | "enable" | "resume" | "catch up" }
  | { readonly do: "pause"; readonly seconds: number }
  | { readonly do: "timing"; readonly timing: Timing };

const timing: fc.Arbitrary<Timing> = fc.record({
  kind: fc.constantFrom("cron", "interval"),
  minutes: fc.constantFrom(1, 2, 3, 5, 10),
});
const seconds = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constantFrom(30, 60, 90, 120, 570));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: seconds.map((wait) => ({ do: "wait" as const, seconds: wait })) },
  { weight: 3, arbitrary: fc.constantFrom({ do: "plan" as const }, { do: "fire" as const }) },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom("reload", "payload", "labels", "disable", "enable", "resume", "catch up")
      .map((name) => ({ do: name }) as Step),
  },
  { weight: 1, arbitrary: seconds.map((pause) => ({ do: "pause" as const, seconds: pause })) },
  { weight: 1, arbitrary: timing.map((next) => ({ do: "timing" as const, timing: next })) },
);

/** What is due, as the documentation has it. */
class Model {
  readonly due: number[] = [];
  private planned = false;
  /** Everything up to here has been judged. */
  private cursor: number;
  private enabled = true;
  private pausedUntil = Number.NEGATIVE_INFINITY;
  private pausedAt = 0;
  private timing: Timing;

  constructor(now: number, first: Timing) {
    this.cursor = now;
    this.timing = first;
  }

  pass(now: number): void {
    if (!this.planned) return;
    for (let at = Math.floor(this.cursor / MINUTE + 1) * MINUTE; at <= now; at += MINUTE) {
      if ((at / MINUTE) % this.timing.minutes !== 0) continue;
      if (this.enabled && at >= this.pausedUntil) this.due.push(at);
    }
    this.cursor = now;
  }

  plan(now: number): void {
    this.planned = true;
    this.pass(now);
  }

  /** Ends what was planned: what comes after counts by what is in force then, once it is planned. */
  edit(now: number, step: Step): void {
    const paused = this.pausedUntil > now;
    if (step.do === "disable" && this.enabled) this.enabled = false;
    else if (step.do === "enable" && !this.enabled) this.enabled = true;
    else if (step.do === "timing" && !same(step.timing, this.timing)) this.timing = step.timing;
    else if (step.do === "pause") {
      if (!paused) this.pausedAt = now;
      this.pausedUntil = now + step.seconds * 1_000;
    } else if ((step.do === "resume" || step.do === "catch up") && paused) {
      this.pausedUntil = Number.NEGATIVE_INFINITY;
      this.planned = false;
      this.cursor = step.do === "catch up" ? this.pausedAt : now;
      return;
    } else return;
    this.planned = false;
    this.cursor = now;
  }
}

const same = (one: Timing, other: Timing) => one.kind === other.kind && one.minutes === other.minutes;
const columns = ({ kind, minutes }: Timing) => ({
  kind,
  cron_expression: `*/${minutes} * * * *`,
  interval_seconds: minutes * 60,
  interval_anchor: "2026-03-01T00:00:00Z",
});

/** Looks an hour ahead, so that every edit meets what was foreseen before it. */
let outlook: Outlook;
async function fireOrLook(): Promise<void> {
  for (;;) {
    const result = await fireOnTime(service.deps, outlook);
    await result.published;
    if (!result.full) return;
  }
}

async function tell(now: number, step: Step, model: Model): Promise<void> {
  const set = (assignments: string, values: unknown[] = []) =>
    service.rows(`UPDATE schedules SET ${assignments}`, values);
  model.pass(now);
  switch (step.do) {
    case "wait":
      return;
    case "plan":
      await plan(service.deps);
      return model.plan(now);
    case "fire":
      await fireOrLook();
      return;
    case "reload":
      await service.database.transaction((tx) => markForPlanning(tx, "00000000-0000-0000-0000-000000000000", null, 9));
      return;
    case "payload":
      await set(`payload = jsonb_build_object('source', 's', 'max_strategies', 1 + ${now % 100})`);
      return;
    case "labels":
      await set("labels = '{}', name = name, enabled = enabled, cron_expression = cron_expression");
      return;
    case "disable":
    case "enable":
      await set("enabled = $1", [step.do === "enable"]);
      break;
    case "pause":
      await set("paused_until = $1", [new Date(now + step.seconds * 1_000).toISOString()]);
      break;
    case "resume":
      await set("paused_until = NULL");
      break;
    case "catch up":
      await set("paused_until = NULL, plan_from = paused_at WHERE paused_until > pocketwatch_now()");
      break;
    case "timing": {
      const { kind, cron_expression, interval_seconds, interval_anchor } = columns(step.timing);
      await set("kind = $1, cron_expression = $2, interval_seconds = $3, interval_anchor = $4", [
        kind,
        cron_expression,
        interval_seconds,
        interval_anchor,
      ]);
    }
  }
  model.edit(now, step);
}

test("every instant that was due has one row, and no other has one", async () => {
  const story = fc.record({
    first: timing,
    catchup: fc.constantFrom("latest", "all", "skip"),
    steps: fc.array(step, { minLength: 3, maxLength: 24 }),
  });
  await fc.assert(
    fc.asyncProperty(story, async ({ first, catchup, steps }) => {
      await service.rows("DELETE FROM schedules");
      await service.rows("TRUNCATE agenda, runs, leases, outbox");
      let now = START;
      service.setNow(now);
      await addSchedule(service, { name: "it", catchup, overlap: "allow", ...columns(first) });
      const model = new Model(now, first);
      outlook = new Outlook({ horizon_ms: 3_600_000 });
      for (const next of [...steps, { do: "plan" }, { do: "fire" }, { do: "fire" }] as Step[]) {
        if (next.do === "wait") now += next.seconds * 1_000;
        service.setNow(now);
        await tell(now, next, model);
        expect(await forgotten(service), "not on the agenda").toEqual([]);
      }
      const rows = await service.rows<{ scheduled_for: number; result: Missed | null }>(
        "SELECT scheduled_for, result FROM runs ORDER BY scheduled_for",
      );
      expect(covered(rows, model.due)).toEqual(model.due);
    }),
    { numRuns: Number(process.env.STORIES ?? 60), endOnFailure: false },
  );
}, 600_000);

interface Missed {
  readonly first: string;
  readonly last: string;
  readonly count: number;
}

/** The instants that the rows speak of; a range speaks of what was due within it, and says how many that are. */
function covered(rows: readonly { scheduled_for: number; result: Missed | null }[], due: readonly number[]): number[] {
  return rows.flatMap(({ scheduled_for, result }) => {
    if (result === null) return [scheduled_for];
    const first = Date.parse(result.first);
    const last = Date.parse(result.last);
    expect(first).toBe(scheduled_for);
    expect(due).toContain(last);
    const within = due.filter((at) => at >= first && at <= last);
    expect(result.count, `${result.first} to ${result.last}`).toBe(within.length);
    return within;
  });
}
