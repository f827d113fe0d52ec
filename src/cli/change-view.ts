import type { Schedule } from "./answers.ts";
import { changedFields, type FieldChange } from "./documents/changes.ts";
import { fromAnswer, fullSchedule } from "./documents/full-schedule.ts";
import { showMomentAndDistance } from "./moments.ts";
import { paint } from "./paint.ts";
import { inline } from "./printable.ts";
import type { Session } from "./session.ts";

/** What a change has made of a schedule. */
export function showChange(session: Session, before: Schedule, after: Schedule): void {
  session.show(after, () => {
    const same = (id: string) => id;
    const changes = changedFields(fullSchedule(fromAnswer(before, same)), fullSchedule(fromAnswer(after, same)));
    if (changes.length === 0) return `${inline(after.name)} stays as it is.\n`;
    return `${inline(after.name)} is changed; ${nextOf(session, after)}.\n${describeChanges(session, changes)}`;
  });
}

export function describeChanges(session: Session, changes: readonly FieldChange[]): string {
  const { out } = session.around;
  const arrow = ({ field, before, after }: FieldChange) =>
    `    ${inline(field)}: ${paint(out, "red", shown(before))} → ${paint(out, "green", shown(after))}\n`;
  return changes.map(arrow).join("");
}

function shown(value: unknown): string {
  return value === null ? "-" : inline(value);
}

/** What is due next, or why nothing is. */
export function nextOf(session: Session, { next_run_at, state, problem }: Schedule): string {
  if (problem !== null) return `it has a problem: ${inline(problem)}`;
  if (next_run_at === null) return `it is ${state}, nothing is due`;
  return `next ${showMomentAndDistance(next_run_at, session.around.clock.now())}`;
}
