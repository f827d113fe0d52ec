import { ITEM } from "./contracts.ts";

/** A kind of schedule, `count` times, for the length of a scenario. */
export interface Planned {
  readonly name: string;
  readonly count: number;
  /** Seconds between occurrences; absent: one occurrence, in the middle of the scenario. */
  readonly every?: number;
  /** Its instants go so many seconds further back: those before the scenario are over when the schedule is made. */
  readonly since?: number;
  readonly action?: string;
  /** Columns of `schedules` beside those. */
  readonly columns?: Readonly<Record<string, unknown>>;
}

/** A schedule of a scenario and the instants at which it must fire. */
export interface ExpectedSchedule {
  readonly name: string;
  readonly targets: readonly string[];
  readonly due: readonly number[];
  readonly row: Readonly<Record<string, unknown>>;
}

const TARGETS = Array.from({ length: 25 }, (_, index) => `machine-${index}`);

/** Something of everything: plain, exclusive, buffered and capped schedules, parents with children, and a burst. */
export const MIXED: readonly Planned[] = [
  { name: "steady", count: 8, every: 1, columns: { overlap: "allow", catchup: "all" } },
  { name: "exclusive", count: 3, every: 1, columns: { overlap: "skip", catchup: "latest" } },
  { name: "buffered", count: 2, every: 2, columns: { overlap: "buffer_all", catchup: "all" } },
  { name: "capped", count: 4, every: 2, action: "work.capped", columns: { overlap: "allow", catchup: "all" } },
  { name: "fleet", count: 1, every: 4, columns: { overlap: "allow", catchup: "all", targets: TARGETS } },
  { name: "burst", count: 300, columns: { overlap: "allow", catchup: "all" } },
];

/** For slow consumers: a run that waits until another one has ended would measure them, and not the service. */
export const UNHINDERED = MIXED.filter(({ name }) => name !== "buffered" && name !== "capped");

/** What falls due, known without asking the service: from `start` (ms) for so many seconds, both ends included. */
export function expand(plan: readonly Planned[], start: number, seconds: number): ExpectedSchedule[] {
  return plan.flatMap(({ name, count, every, since = 0, action = ITEM, columns = {} }) =>
    Array.from({ length: count }, (_, index) => {
      const end = start + seconds * 1_000;
      const middle = start + Math.floor(seconds / 2) * 1_000;
      const timing =
        every === undefined
          ? { kind: "once", run_at: iso(middle) }
          : { kind: "interval", interval_seconds: every, starts_at: iso(start - since * 1_000), ends_at: iso(end) };
      const due: number[] = every === undefined ? [middle] : [];
      for (let at = start - since * 1_000; every !== undefined && at <= end; at += every * 1_000)
        if (at >= start) due.push(at);
      const full = `${name} ${index}`;
      return {
        name: full,
        targets: (columns.targets as string[] | undefined) ?? [],
        due,
        row: { name: full, action, payload: { of: name }, notify_on: ["completed", "failed"], ...timing, ...columns },
      };
    }),
  );
}

const iso = (instant: number) => new Date(instant).toISOString();
